use super::*;

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn addresses(names: &[&str]) -> BTreeMap<String, String> {
    names.iter().map(|name| ((*name).to_owned(), format!("at {name}"))).collect()
}

fn change(from: u32, to: u32, idle: &[&str]) -> Change {
    Change { from, to, idle: names(idle), heard: names(idle), starting: 0, because: String::new(), turns: false }
}

fn worker(name: &str, in_flight: u64, draining: bool) -> Worker {
    Worker { name: name.into(), in_flight, draining, ..Worker::default() }
}

fn cordon() -> Cordon {
    Cordon::new(Arc::default())
}

/// Narrows a change while these are heard, one after the other.
async fn narrow(change: Change, addressed: &[&str], heard: &[Worker]) -> Change {
    let (cordon, addresses) = (cordon(), addresses(addressed));
    let hearing = async {
        tokio::task::yield_now().await;
        heard.iter().for_each(|worker| cordon.hear(worker));
    };
    tokio::join!(cordon.narrow(change, &addresses), hearing).0
}

#[test]
fn no_more_are_asked_than_go_and_always_the_same() {
    let all = ["a", "b", "c"];
    let (asked, others) = candidates(&change(5, 3, &all), &addresses(&all));
    assert_eq!((asked, others), (addresses(&["b", "c"]), vec![]));
    let starting = Change { starting: 1, ..change(5, 3, &all) };
    assert_eq!(candidates(&starting, &addresses(&all)).0, addresses(&["c"]));
    let (asked, others) = candidates(&change(3, 0, &all), &addresses(&["a", "busy"]));
    assert_eq!((asked, others), (addresses(&["a"]), vec!["c".into(), "b".into()]));
}

#[tokio::test]
async fn those_go_that_take_nothing_more() {
    let heard = [worker("b", 0, false), worker("c", 0, true), worker("b", 0, true)];
    let narrowed = narrow(change(4, 2, &["a", "b", "c"]), &["a", "b", "c"], &heard).await;
    assert_eq!((narrowed.to, narrowed.idle), (2, names(&["b", "c"])));
}

#[tokio::test]
async fn who_has_got_a_request_stays_and_so_does_who_takes_some_again() {
    let heard = [worker("b", 1, false), worker("c", 0, true)];
    let one = narrow(change(3, 1, &["a", "b", "c"]), &["a", "b", "c"], &heard).await;
    assert_eq!((one.to, one.idle), (2, names(&["c"])));
    let heard = [worker("a", 0, true), worker("a", 0, false), worker("b", 1, false)];
    let none = narrow(change(2, 0, &["a", "b"]), &["a", "b"], &heard).await;
    assert_eq!((none.to, none.idle), (2, names(&[])));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_stays() {
    let narrowed = narrow(change(2, 0, &["a", "b"]), &["a", "b"], &[worker("a", 0, true)]).await;
    assert_eq!((narrowed.to, narrowed.idle), (1, names(&["a"])));
}

#[tokio::test]
async fn who_cannot_be_asked_goes_by_what_it_said_and_who_has_not_started_goes_anyway() {
    let old = narrow(change(3, 1, &["a", "b"]), &[], &[]).await;
    assert_eq!((old.to, old.idle), (1, names(&["a", "b"])));
    let starting = Change { starting: 2, ..change(3, 1, &[]) };
    assert_eq!(narrow(starting, &[], &[]).await.to, 1);
}

#[tokio::test]
async fn work_that_comes_meanwhile_keeps_all() {
    let cordon = cordon();
    let coming = async {
        tokio::task::yield_now().await;
        cordon.hear(&worker("a", 0, true));
        cordon.give_up();
    };
    let addresses = addresses(&["a", "b"]);
    let narrowing = cordon.narrow(change(2, 0, &["a", "b"]), &addresses);
    assert_eq!(tokio::join!(narrowing, coming).0.to, 2);
}

#[tokio::test]
async fn who_was_asked_for_nothing_is_kept_until_it_goes_on() {
    let (cordon, addresses) = (cordon(), addresses(&["a", "b"]));
    let hearing = async {
        tokio::task::yield_now().await;
        ["a", "b"].iter().for_each(|name| cordon.hear(&worker(name, 0, true)));
    };
    tokio::join!(cordon.narrow(change(2, 0, &["a", "b"]), &addresses), hearing);
    cordon.release(&addresses, &names(&["b"])).await;
    assert!(cordon.keeps("a") && !cordon.keeps("b"), "b goes");
    // There is nobody left to ask: that changes nothing.
    cordon.narrow(change(1, 0, &[]), &addresses).await;
    assert!(cordon.keeps("a"));
    cordon.hear(&worker("a", 0, false));
    assert!(!cordon.keeps("a"));
}
