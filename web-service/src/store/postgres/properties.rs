//! What holds for every text that is given as the database's address.

use super::PostgresUrl;
use proptest::prelude::*;
use warren_testkit::inputs;

const ADDRESSES: &[&str] = &[
    "postgres://warren:password@db:5433/records?sslmode=require",
    "postgresql://a%40b:%23%2f@[::1]/d%20e?application_name=x&options=-c%20a=b",
    "postgres://u@h/d",
];

proptest! {
    #[test]
    fn no_text_makes_the_reader_of_addresses_panic(text in inputs::texts(ADDRESSES)) {
        if let Ok(url) = text.parse::<PostgresUrl>() {
            prop_assert!(!url.user().is_empty() && !url.to_string().is_empty());
        }
    }

    #[test]
    fn no_password_shows_whatever_stands_around_it(
        before in "[a-z0-9#/?%@:&=\\[\\]]{0,6}", after in "[a-z0-9#/?%@:&=\\[\\]]{0,6}", end in "(/d|/d\\?sslmode=require|/|)",
    ) {
        let text = format!("postgres://user:{before}s3cret{after}@host:5432{end}");
        let shown = match text.parse::<PostgresUrl>() {
            Ok(url) => format!("{url} {url:?} {} {}", url.user(), url.database()),
            Err(error) => format!("{error} {error:?}"),
        };
        prop_assert!(!shown.contains("s3cret"), "{}: {}", text, shown);
    }
}
