//! The messaging crate against real RabbitMQ nodes.

mod publishing;
mod restart;
mod topology;

use warren_messaging::broker_url::BrokerUrl;
use warren_testkit::broker::Vhost;

fn address(vhost: &Vhost) -> BrokerUrl {
    vhost.url().parse().expect("the testkit gives an address")
}
