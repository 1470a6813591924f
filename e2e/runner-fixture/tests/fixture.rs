//! Tests of every kind there is. The tests in `bad` fail, each in its way.

#![cfg(target_arch = "wasm32")]

use newsreel_in_workerd::{env, in_object};
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(test)]
mod good {
    use super::{env, in_object, test};

    #[test]
    fn passes() {}

    #[test]
    fn says_something() {
        worker::console_log!("something was said");
    }

    #[test]
    #[ignore]
    fn is_ignored() {}

    #[test]
    #[ignore = "it takes a day"]
    fn is_ignored_for_a_reason() {}

    #[test]
    #[should_panic]
    fn panics_as_it_should() {
        panic!("of course");
    }

    #[test]
    #[should_panic(expected = "of course")]
    async fn panics_as_expected() {
        panic!("yes, of course");
    }

    /// Leaves something under the same names, and finds nothing of another test.
    async fn leaves_something() {
        let kv = env().kv("ENTRIES").unwrap();
        assert_eq!(kv.get("same").text().await.unwrap(), None);
        kv.put("same", "here").unwrap().execute().await.unwrap();
        let bucket = env().bucket("COPIES").unwrap();
        assert!(bucket.head("same").await.unwrap().is_none());
        bucket.put("same", "here".to_owned()).execute().await.unwrap();
        let rows = in_object("same", async |state| {
            let sql = state.storage().sql();
            sql.exec("CREATE TABLE IF NOT EXISTS here (one)", None).unwrap();
            sql.exec("INSERT INTO here VALUES (1)", None).unwrap();
            sql.exec("SELECT * FROM here", None).unwrap().count()
        });
        assert_eq!(rows.await, 1);
    }

    #[test]
    async fn leaves_something_a() {
        leaves_something().await;
    }

    #[test]
    async fn leaves_something_b() {
        leaves_something().await;
    }
}

#[cfg(test)]
mod bad {
    use super::{in_object, test};

    fn deep_down(one: u32) {
        assert_eq!(one, 2, "in the depth");
    }

    #[test]
    fn a_fails() {
        deep_down(1);
    }

    #[test]
    async fn b_fails_in_an_object() {
        in_object("mine", async |_| deep_down(3)).await;
    }

    #[test]
    fn c_hangs() {
        while js_sys::Date::now() > 0.0 {}
    }

    #[test]
    async fn d_waits_for_nothing() {
        let never = js_sys::Promise::new(&mut |_, _| {});
        wasm_bindgen_futures::JsFuture::from(never).await.unwrap();
    }

    #[test]
    #[should_panic]
    fn e_does_not_panic() {}

    #[test]
    #[should_panic(expected = "something else")]
    fn f_panics_otherwise() {
        panic!("of this");
    }

    #[test]
    fn g_still_runs() {}
}
