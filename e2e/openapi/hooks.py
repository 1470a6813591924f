"""Tells schemathesis what JSON Schema cannot say of Newsreel's requests.

Texts are limited in bytes, not in characters; a position is given whole or not at all; targets of one publish differ.
"""

import schemathesis
from hypothesis import strategies as st

LETTERS = st.characters(min_codepoint=0x20, max_codepoint=0x2FF, exclude_categories=["Cc", "Cs"], exclude_characters=":")
# At most 40 characters of two bytes each, far below the 400 bytes of a key.
IDS = st.text(LETTERS, min_size=1, max_size=40)
CLASSES = st.sampled_from(["title", "availability", "embedding", "live"])

schemathesis.openapi.format("newsreel-key", st.tuples(CLASSES, IDS).map(":".join))
schemathesis.openapi.format("newsreel-prefix", IDS)
schemathesis.openapi.format("newsreel-source", IDS)
# An id of zeros means none.
HEX = st.text("0123456789abcdef", min_size=15, max_size=15)
schemathesis.openapi.format("newsreel-traceparent", st.builds("00-{0}{0}11-{0}1-01".format, HEX))
# An older epoch is satisfied at once. A version to come would make each read wait for seconds.
# A lease of an older epoch is judged at once. One of an epoch to come would make each request wait for seconds.
schemathesis.openapi.format("newsreel-lease", st.just("00000000000000000000000000:0:0000000000000000@9999999999999"))
schemathesis.openapi.format("newsreel-policy", st.just('{"ttl_ms":60000}'))
schemathesis.openapi.format("newsreel-min-version", st.just("00000000000000000000000000:0"))



@schemathesis.hook
def filter_case(context, case):
    """Leaves out requests whose parts are valid one by one and not together."""
    query = case.query or {}
    return position_is_whole(query) and waits_briefly(query) and targets_differ(case.body) and is_recent(case.path, query) and few_letters(case.body) and trace_is_named(case.body)


def waits_briefly(query):
    """A long poll on a quiet log takes its whole time, and shows no more than a short one."""
    # The coverage phase has numbers as the texts that it sends.
    wait = str(query.get("wait_ms", 0))
    return not wait.isdecimal() or not 100 < int(wait) <= 30_000


def trace_is_named(body):
    """An id of zeros means none."""
    trace = body.get("traceparent") if isinstance(body, dict) else None
    return not isinstance(trace, str) or ("0" * 32 not in trace and "-" + "0" * 16 + "-" not in trace)


def few_letters(body):
    """At most 100 dead letters are settled at once, in both lists together, and none is written as 7.0."""
    if not isinstance(body, dict):
        return True
    lists = [body.get("replay"), body.get("drop")]
    letters = [letter for one in lists if isinstance(one, list) for letter in one]
    return len(letters) <= 100 and not any(isinstance(letter, float) for letter in letters)


def is_recent(path, query):
    """Series of a time that is empty, or longer than its resolution keeps, are refused."""
    return not path.endswith("/series") or not {"from", "to"} & set(query)


def position_is_whole(query):
    version = query.get("since", query.get("version"))
    if query.get("epoch"):
        return version is not None
    return not query.get("hash") and version in (None, 0, "0")


def targets_differ(body):
    changes = body.get("changes") if isinstance(body, dict) else None
    if not isinstance(changes, list):
        return True
    kinds = ("key", "tag", "prefix", "all")
    targets = [repr([change.get(kind) for kind in kinds]) for change in changes if isinstance(change, dict)]
    return len(set(targets)) == len(targets)
