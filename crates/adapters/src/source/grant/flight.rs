//! One refresh of a grant at a time in this process. It runs as a task of its own: a caller that goes away
//! takes no half-made refresh with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gateway_core::lease::SecretVersion;
use gateway_core::refusal::{Code, Refusal};
use tokio::sync::watch;

use super::{Errand, Inner};

type Outcome = Result<Arc<SecretVersion>, Refusal>;
type Arrival = watch::Receiver<Option<Outcome>>;

/// The refreshes under way.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<String, Arrival>>);

/// Takes the flight out of the map, also where it panics.
struct Landing<'a>(&'a Flights, &'a str);

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.0.flights().remove(self.1);
    }
}

impl Flights {
    fn flights(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arrival>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the flight of this grant, or starts one. The flight goes on where nobody waits for it.
    pub(super) fn join(
        &self,
        inner: &Arc<Inner>,
        errand: Errand,
    ) -> impl Future<Output = Outcome> + Send + use<> {
        let arrival = {
            let mut flights = self.flights();
            match flights.get(&errand.grant.id) {
                Some(arrival) => arrival.clone(),
                None => {
                    let (sender, arrival) = watch::channel(None);
                    flights.insert(errand.grant.id.clone(), arrival.clone());
                    let inner = Arc::clone(inner);
                    tokio::spawn(async move {
                        let landing = Landing(&inner.flights, &errand.grant.id);
                        let outcome = inner.bring(&errand).await;
                        // Out of the map first: who comes now sees what this flight has brought.
                        drop(landing);
                        let _nobody_waits = sender.send(Some(outcome));
                    });
                    arrival
                }
            }
        };
        wait(arrival)
    }
}

async fn wait(mut arrival: Arrival) -> Outcome {
    let arrived = arrival.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
    let cut = || Refusal::new(Code::ProviderUnavailable).because("the refresh was cut off");
    arrived.unwrap_or_else(|| Err(cut()))
}
