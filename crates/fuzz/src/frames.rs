//! Frames, both ways: every frame that is read can be written, and comes back.

use newsreel_core::wire::Version;
use newsreel_core::wire::frame::{self, Fold, FoldedChange, FollowerFrame, Frame, VersionRow};
use newsreel_core::wire::position::Position;

use crate::memory::assert_bounded;
use crate::rows::check_change;

/// How many times its size a frame may take while it is read.
const TIMES: usize = 96;

/// A text from a broker.
pub(crate) fn from_broker(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(frame) = assert_bounded(text.len(), TIMES, || Frame::parse(text)) else { return };
    match &frame {
        Frame::Changes { from, to, versions, .. } => {
            assert!(from <= to);
            let inside = |row: &VersionRow| *from < row.version && row.version <= *to;
            assert!(versions.iter().all(inside));
            assert!(versions.is_sorted_by(|one, next| one.version < next.version));
            versions.iter().flat_map(|row| &row.changes).for_each(check_change);
        }
        Frame::Fold(Fold { from, to, changes, .. }) => {
            assert!(from <= to);
            assert!(changes.iter().all(|folded| *from < folded.version && folded.version <= *to));
            assert!(changes.is_sorted_by(|one, next| one.version <= next.version));
            changes.iter().map(|folded| &folded.change).for_each(check_change);
        }
        Frame::Unknown(kind) => {
            let known = ["welcome", "changes", "fold", "live", "head", "reset", "error"];
            assert!(!known.contains(&kind.as_str()), "a frame of a known type is not skipped");
        }
        Frame::Welcome { .. }
        | Frame::Live { .. }
        | Frame::Head { .. }
        | Frame::Reset { .. }
        | Frame::Error { .. }
        | Frame::Pong(_) => {}
    }
    if let Some(written) = written(&frame) {
        assert!(!written.contains('\n'), "a frame is one line, as events need it");
        assert_eq!(Frame::parse(&written).expect("what was written is read"), frame);
    }
}

/// Returns a frame as a broker writes it; none for a frame that no broker writes.
fn written(frame: &Frame) -> Option<String> {
    Some(match frame {
        Frame::Welcome { epoch, head, hash, resume } => {
            frame::welcome(&Position { epoch: *epoch, version: *head, hash: (*hash)? }, *resume)
        }
        Frame::Changes { from, to, hash, versions, ack } => {
            let rows: Vec<String> = versions.iter().map(VersionRow::to_json).collect();
            let head = frame::changes_head(*from, *to, *hash, *ack);
            let text = head + &rows.join(",") + frame::CHANGES_TAIL;
            assert!(text.is_ascii());
            text
        }
        Frame::Fold(Fold { from, to, hash, changes, more, part }) => {
            let changes: Vec<String> = changes.iter().map(FoldedChange::to_json).collect();
            let to =
                Position { epoch: "00000000000000000000000000".parse().ok()?, version: *to, hash: *hash };
            let text = frame::fold_text(*from, &to, (*part)?, &changes.join(","), *more);
            assert!(text.is_ascii());
            text
        }
        Frame::Live { version } => frame::live(*version),
        Frame::Head { from, version, hash } => {
            let epoch = "00000000000000000000000000".parse().ok()?;
            frame::head((*from)?, &Position { epoch, version: *version, hash: *hash })
        }
        Frame::Reset { position, reason } => frame::reset(position, reason),
        Frame::Error { code, message, retry_after_ms } => frame::error(code, message, *retry_after_ms),
        Frame::Pong(position) => frame::pong(position),
        Frame::Unknown(_) => return None,
    })
}

/// A text from a follower.
pub(crate) fn from_follower(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match assert_bounded(text.len(), 8, || FollowerFrame::parse(text)) {
        Ok(FollowerFrame::Ack { version }) => {
            assert!(version <= Version::MAX);
            let again = FollowerFrame::parse(&frame::ack(version)).expect("an ack is read");
            assert_eq!(again, FollowerFrame::Ack { version });
        }
        Ok(FollowerFrame::Ping) => assert_eq!(text, frame::PING),
        Err(error) => {
            let said = frame::error("bad-frame", &error.to_string(), None);
            Frame::parse(&said).expect("what a stranger sent can be shown to it");
            assert!(said.len() <= 300 + 12 * text.len());
        }
    }
    let offered = frame::is_spoken(Some(text));
    assert!(!offered || text.contains(frame::SUBPROTOCOL));
}
