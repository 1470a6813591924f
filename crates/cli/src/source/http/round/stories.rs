//! Stories of rounds: what is asked, what is published and what is reached.

use serde_json::json;

use super::*;
use crate::source::http::example::feed;
use crate::source::http::page::NextPage;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const NOW: i64 = 1_795_446_000_000;

fn page(ids: &[u64]) -> Page {
    Page { items: ids.iter().map(|id| json!({ "id": id })).collect(), ..Page::default() }
}

fn of(page: Page) -> Answer {
    let body = format!("{page:?}");
    Answer::Page(page, body, Validators::default())
}

/// The end of a round, with the ids that it publishes.
#[track_caller]
fn ended(step: Result<Step, RoundError>, round: &mut Round<'_>) -> (End, Vec<u64>) {
    let Ok(Step::End(end)) = step else { panic!("{step:?}") };
    (*end, round.take_fresh().iter().map(|row| row["id"].as_u64().unwrap()).collect())
}

fn asked(round: &Round<'_>) -> String {
    round.question().to.text()
}

fn since(at: i64) -> Reached {
    Reached { since: Some(at), ..Reached::default() }
}

mod window {
    use super::*;

    const FEED: &str = "kind = \"updated-since\"\nurl = \"http://h/{since}/{page}\"\nstamp = \"\"\noverlap = \"5 min\"\ntime = \"millis\"";

    #[test]
    fn a_window_overlaps_the_one_before_and_what_both_report_is_published_once() {
        let feed = feed(FEED);
        let mut round = Round::begin(&feed, since(NOW), NOW + MINUTE);
        assert_eq!(asked(&round), format!("since={} page=1", NOW - 5 * MINUTE));
        for ids in [&[1, 2][..], &[], &[1, 2]] {
            assert_eq!(round.hear(of(page(ids)), Some(NOW + 2 * MINUTE)), Ok(Step::Ask));
        }
        let step = round.hear(of(page(&[])), Some(NOW + 3 * MINUTE));
        let (end, ids) = ended(step, &mut round);
        assert_eq!((ids, end.wide, end.again), (vec![1, 2], None, false));
        assert_eq!(end.reached.since, Some(NOW + 2 * MINUTE), "the server's time at the first answer");
        let mut round = Round::begin(&feed, end.reached, NOW + 4 * MINUTE);
        for ids in [&[2, 3][..], &[], &[2, 3]] {
            assert_eq!(round.hear(of(page(ids)), Some(NOW + 4 * MINUTE)), Ok(Step::Ask));
        }
        let step = round.hear(of(page(&[])), Some(NOW + 4 * MINUTE));
        assert_eq!((ended(step, &mut round).1, round.repeated()), (vec![3], 3));
    }

    #[test]
    fn a_first_round_is_a_gap_and_says_so() {
        let feed = feed(FEED);
        let lost = Reached { gap: Some("nothing is known".to_owned()), ..Reached::default() };
        let mut round = Round::begin(&feed, lost, NOW);
        assert_eq!(asked(&round), format!("since={} page=1", NOW - 5 * MINUTE));
        round.hear(of(page(&[1])), Some(NOW)).unwrap();
        let step = round.hear(of(page(&[])), Some(NOW));
        let (end, ids) = ended(step, &mut round);
        assert_eq!((end.wide.as_deref(), ids), (Some("nothing is known"), vec![]));
        assert_eq!((end.reached.since, end.reached.gap), (Some(NOW), None));
    }

    #[test]
    fn the_servers_clock_counts_and_not_the_one_here() {
        let feed = feed(FEED);
        for here in [NOW - DAY, NOW, NOW + DAY] {
            let mut round = Round::begin(&feed, since(NOW - MINUTE), here);
            assert_eq!(asked(&round), format!("since={} page=1", NOW - 6 * MINUTE), "{here}");
            let step = round.hear(of(page(&[])), Some(NOW));
            assert_eq!(ended(step, &mut round).0.reached.since, Some(NOW));
        }
    }

    #[test]
    fn pages_are_read_until_a_pass_brings_nothing_new() {
        let feed = feed(FEED);
        let mut round = Round::begin(&feed, since(NOW - DAY), NOW);
        let mut hear = |ids: &[u64]| round.hear(of(page(ids)), Some(NOW));
        // Row 3 moves to page 1 after that was read, and row 5 is new.
        for ids in [&[1, 2][..], &[4], &[], &[2, 3], &[4, 5], &[], &[2, 3], &[4, 5]] {
            assert_eq!(hear(ids), Ok(Step::Ask));
        }
        let step = hear(&[]);
        let (end, ids) = ended(step, &mut round);
        assert_eq!((ids, end.wide), (vec![1, 2, 4, 3, 5], None));
        assert_eq!(asked(&round), format!("since={} page=3", NOW - DAY - 5 * MINUTE));
    }

    #[test]
    fn rows_that_never_keep_still_are_covered_by_a_wide_change() {
        let feed = feed(FEED);
        let mut round = Round::begin(&feed, since(NOW - DAY), NOW);
        let mut step = Ok(Step::Ask);
        for n in 0.. {
            let ids: &[u64] = if n % 2 == 0 { &[n] } else { &[] };
            step = round.hear(of(page(ids)), Some(NOW));
            if step != Ok(Step::Ask) {
                break;
            }
        }
        let (end, ids) = ended(step, &mut round);
        assert_eq!((end.wide.is_some(), ids.len(), end.reached.since), (true, 0, Some(NOW)));
    }

    #[test]
    fn a_feed_that_was_away_for_long_catches_up_in_windows_of_the_longest_length() {
        let feed = feed(
            "kind = \"updated-since\"\nurl = \"http://h/{since}/{until}\"\nrepeat = \"1 h\"\noverlap = \"1 d\"\n\
             time = \"date\"\nwindow = \"14 d\"",
        );
        let (mut reached, mut windows) = (since(NOW - 30 * DAY), Vec::new());
        loop {
            let mut round = Round::begin(&feed, reached, NOW);
            windows.push(asked(&round));
            let step = round.hear(of(page(&[windows.len() as u64])), Some(NOW));
            let (end, ids) = ended(step, &mut round);
            assert_eq!(ids, [windows.len() as u64]);
            reached = end.reached;
            if !end.again {
                break;
            }
        }
        let expected = [
            "since=2026-10-23 until=2026-11-06",
            "since=2026-11-05 until=2026-11-19",
            "since=2026-11-18 until=2026-11-23",
        ];
        assert_eq!(windows, expected);
        assert_eq!(reached.since, Some(NOW));
    }

    #[test]
    fn what_the_api_does_not_remember_is_covered_by_a_wide_change() {
        let feed = feed(&format!("{FEED}\nreach = \"14 d\""));
        let mut round = Round::begin(&feed, since(NOW - 15 * DAY), NOW);
        assert_eq!(asked(&round), format!("since={} page=1", NOW - 14 * DAY));
        let step = round.hear(of(page(&[])), Some(NOW));
        let (end, _) = ended(step, &mut round);
        assert_eq!(
            end.wide.as_deref(),
            Some("changes of 15.0 d have to be asked for, overlap included, and the API remembers 14.0 d")
        );
        // What was late before has to be asked for again too.
        let mut round = Round::begin(&feed, since(NOW - 14 * DAY + MINUTE), NOW);
        let step = round.hear(of(page(&[])), Some(NOW));
        assert!(ended(step, &mut round).0.wide.is_some());
        // A clock here that is behind hides it until the server tells the time.
        let mut round = Round::begin(&feed, since(NOW - 15 * DAY), NOW - 5 * DAY);
        let step = round.hear(of(page(&[])), Some(NOW));
        assert!(ended(step, &mut round).0.wide.is_some());
    }

    #[test]
    fn a_window_that_expired_begins_anew_with_a_wide_change() {
        let feed = feed(FEED);
        let mut round = Round::begin(&feed, since(NOW - 90 * DAY), NOW);
        assert_eq!(round.hear(Answer::Expired, Some(NOW)), Ok(Step::Ask));
        assert_eq!(asked(&round), format!("since={} page=1", NOW - 5 * MINUTE));
        let step = round.hear(of(page(&[])), Some(NOW));
        let (end, _) = ended(step, &mut round);
        assert!(end.wide.unwrap().contains("forgot"));
        let mut round = Round::begin(&feed, since(NOW - 90 * DAY), NOW);
        round.hear(Answer::Expired, Some(NOW)).unwrap();
        assert_eq!(round.hear(Answer::Expired, Some(NOW)), Err(RoundError::Expired));
    }

    #[test]
    fn pages_that_go_in_a_circle_are_an_error() {
        let feed =
            feed("kind = \"updated-since\"\nurl = \"http://h/{since}\"\nstamp = \"\"\nnext = \"Link\"");
        let mut round = Round::begin(&feed, since(NOW), NOW);
        let linked = || of(Page { next: Some(NextPage::Link("/2".to_owned())), ..page(&[1]) });
        assert_eq!(round.hear(linked(), None), Ok(Step::Ask));
        assert_eq!(round.question().to, To::Link("/2".to_owned()));
        assert_eq!(round.hear(linked(), None), Err(RoundError::Circle("/2".to_owned())));
    }

    #[test]
    fn numbered_pages_end_at_the_number_that_the_answer_tells() {
        let feed = feed(&format!("{FEED}\npages = \"/total\"\nfirst_page = 0\nstill = true"));
        let mut round = Round::begin(&feed, since(NOW), NOW);
        let of_two = |ids| of(Page { pages: Some(2), ..page(ids) });
        assert_eq!(round.hear(of_two(&[1]), None), Ok(Step::Ask));
        assert!(asked(&round).ends_with("page=1"));
        let step = round.hear(of_two(&[2]), None);
        assert_eq!(ended(step, &mut round).1, [1, 2]);
    }
}

mod cursor {
    use super::*;

    const FEED: &str = "kind = \"cursor\"\nurl = \"http://h/{cursor}\"\ncursor = \"/next\"\nstart = \"0\"";

    fn at(cursor: &str) -> Reached {
        Reached { cursor: Some(cursor.to_owned()), ..Reached::default() }
    }

    fn leads(ids: &[u64], cursor: Option<&str>, is_end: bool) -> Answer {
        of(Page { cursor: cursor.map(ToOwned::to_owned), is_end, ..page(ids) })
    }

    #[test]
    fn each_answer_moves_the_cursor_and_the_same_row_may_change_twice() {
        let feed = feed(FEED);
        let mut round = Round::begin(&feed, at("5"), NOW);
        assert_eq!(asked(&round), "cursor=5");
        let step = round.hear(leads(&[1, 1], Some("7"), false), None);
        let (end, ids) = ended(step, &mut round);
        assert_eq!((ids, end.reached.cursor.as_deref(), end.again), (vec![1, 1], Some("7"), true));
        let mut round = Round::begin(&feed, end.reached, NOW);
        let step = round.hear(leads(&[1], Some("8"), true), None);
        let (end, ids) = ended(step, &mut round);
        assert_eq!((ids, end.again), (vec![1], false));
    }

    #[test]
    fn the_end_of_a_stream_that_is_read_again_is_published_once() {
        let feed = feed(FEED);
        let mut reached = at("5");
        let mut poll = |ids: &[u64]| {
            let mut round = Round::begin(&feed, reached.clone(), NOW);
            let step = round.hear(leads(ids, None, false), None);
            let (end, ids) = ended(step, &mut round);
            assert!(!end.again);
            reached = end.reached;
            ids
        };
        assert_eq!(poll(&[1, 2]), [1, 2]);
        assert!(poll(&[1, 2]).is_empty());
        assert_eq!(poll(&[1, 2, 1]), [1], "row 1 changed once more");
        assert!(poll(&[1, 2, 1]).is_empty());
    }

    #[test]
    fn a_cursor_that_expired_is_found_again_and_everything_is_published_as_changed() {
        let feed = feed(FEED);
        let mut round = Round::begin(&feed, at("5"), NOW);
        assert_eq!(round.hear(Answer::Expired, None), Ok(Step::Ask));
        assert_eq!(asked(&round), "cursor=0");
        let step = round.hear(leads(&[1], Some("7"), false), None);
        let (end, ids) = ended(step, &mut round);
        assert_eq!((ids.len(), end.wide, end.again), (0, None, true));
        assert!(end.reached.gap.is_some(), "a crash in between forgets nothing");
        let mut round = Round::begin(&feed, end.reached, NOW);
        let step = round.hear(leads(&[2], Some("8"), true), None);
        let (end, ids) = ended(step, &mut round);
        assert_eq!((ids.len(), end.wide.is_some(), end.reached.gap), (0, true, None));
        assert_eq!(end.reached.cursor.as_deref(), Some("8"));
    }
}

mod body {
    use super::*;

    fn answer(ids: &[u64], etag: &str) -> Answer {
        let validators = Validators { etag: Some(etag.to_owned()), ..Validators::default() };
        Answer::Page(page(ids), format!("{ids:?}"), validators)
    }

    #[test]
    fn a_body_is_published_when_it_differs() {
        let feed = feed("kind = \"etag\"\nurl = \"http://h\"");
        let reached = Reached { gap: Some("new".to_owned()), ..Reached::default() };
        let mut round = Round::begin(&feed, reached, NOW);
        assert_eq!(round.question().validators, None);
        let step = round.hear(answer(&[1], "a"), None);
        let (end, ids) = ended(step, &mut round);
        assert_eq!((end.wide.as_deref(), ids.len()), (Some("new"), 0));
        let mut round = Round::begin(&feed, end.reached.clone(), NOW);
        assert_eq!(round.question().validators.unwrap().etag.as_deref(), Some("a"));
        let step = round.hear(Answer::Unchanged, None);
        assert_eq!(ended(step, &mut round).0, End { reached: end.reached.clone(), wide: None, again: false });
        let mut round = Round::begin(&feed, end.reached, NOW);
        let step = round.hear(answer(&[1], "b"), None);
        let (end, ids) = ended(step, &mut round);
        assert_eq!(ids.len(), 0, "another ETag of the same body");
        let mut round = Round::begin(&feed, end.reached, NOW);
        let step = round.hear(answer(&[1, 2], "c"), None);
        assert_eq!(ended(step, &mut round).1, [1, 2]);
    }
}
