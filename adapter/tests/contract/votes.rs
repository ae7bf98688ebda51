//! A user votes once, and the votes are among the stream's numbers.

use haat_adapter::{
    Append, Vote, Voted,
    market::{tally, votes},
};

use super::{
    fleet::chat,
    sale::{STREAM, Sale, conflict, never},
};

const POLL: &str = "poll.color@1";

fn vote(user: &str, option: usize) -> Vote {
    Vote {
        stream: STREAM.to_owned(),
        pool: POLL.to_owned(),
        user: user.to_owned(),
        option,
        options: 3,
        ..Vote::default()
    }
}

pub(crate) async fn count_once_for_each_user(sale: Sale) {
    let sale = sale.open().await;
    assert_eq!(sale.markets[0].vote(vote("ana", 1)).await, Ok(Voted::Counted(vec![0, 1, 0])));
    assert_eq!(sale.markets[1].vote(vote("bo", 1)).await, Ok(Voted::Counted(vec![0, 2, 0])));
    assert_eq!(sale.markets[2].vote(vote("chi", 0)).await, Ok(Voted::Counted(vec![1, 2, 0])));
    assert_eq!(sale.markets[2].vote(vote("ana", 2)).await, Ok(Voted::Before(1)));
    assert_eq!(sale.markets[0].vote(vote("ana", 1)).await, Ok(Voted::Before(1)));
}

pub(crate) async fn keep_pools_apart(sale: Sale) {
    let sale = sale.open().await;
    let question = Vote { pool: "question.q1@2".to_owned(), options: 1, ..vote("ana", 0) };
    sale.market().vote(vote("ana", 0)).await.unwrap();
    assert_eq!(sale.market().vote(question).await, Ok(Voted::Counted(vec![1])));
}

pub(crate) async fn are_refused_when_it_is_over(sale: Sale) {
    let sale = sale.open().await;
    let ends = Some(sale.market().now() + 5_000);
    sale.market().vote(Vote { ends, ..vote("ana", 0) }).await.unwrap();
    sale.pass(5.5).await;
    assert_eq!(sale.market().vote(Vote { ends, ..vote("bo", 0) }).await, Ok(Voted::Late));
    assert_eq!(sale.market().vote(Vote { checks: never(), ..vote("bo", 0) }).await, conflict("status"));
    assert!(sale.market().vote(Vote { stream: "nowhere".to_owned(), ..vote("bo", 0) }).await.is_err());
    assert_eq!(sale.counter(&votes(POLL)).await, 1);
}

pub(crate) async fn are_among_the_totals(sale: Sale) {
    let sale = sale.open().await;
    for (user, option) in [("ana", 1), ("bo", 1), ("chi", 2)] {
        sale.market().vote(vote(user, option)).await.unwrap();
    }
    let counters = sale.counters().await;
    assert_eq!((counters[&tally(POLL, 1)], counters[&tally(POLL, 2)], counters[&votes(POLL)]), (2, 1, 3));
    assert_eq!(counters.get(&tally(POLL, 0)), None);
}

pub(crate) async fn fill_the_gaps_of_an_append(sale: Sale) {
    let sale = sale.open().await;
    sale.market().vote(vote("ana", 1)).await.unwrap();
    sale.market().vote(vote("bo", 1)).await.unwrap();
    let pieces = [r#"{"seq":"#, r#","tally":["#, ",", r#"],"again":"#, "}"];
    let append = Append {
        data: pieces.iter().map(|piece| (*piece).to_owned()).collect(),
        fill: vec![None, Some(tally(POLL, 0)), Some(tally(POLL, 1))],
        ..chat(STREAM, "")
    };
    assert_eq!(&*sale.append(append).await.data, r#"{"seq":2,"tally":[0,2],"again":2}"#);
}

pub(crate) async fn are_forgotten(sale: Sale) {
    let sale = sale.open().await;
    sale.market().vote(vote("ana", 1)).await.unwrap();
    let failed = Append { checks: never(), forget: vec![votes(POLL)], ..chat(STREAM, "no") };
    assert!(sale.fleet.store().append(failed).await.is_err());
    sale.append(Append { forget: vec![tally(POLL, 1), "never".to_owned()], ..chat(STREAM, "yes") }).await;
    let counters = sale.counters().await;
    assert_eq!((counters.get(&tally(POLL, 1)), counters.get(&votes(POLL))), (None, Some(&1)));
}
