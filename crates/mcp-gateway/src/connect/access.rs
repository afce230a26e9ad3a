//! The token that stands for the person now. Whatever runs at the same time shares one renewal and one
//! login, in this process and among all of the person's.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::time::Clock;
use http::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::keep::Keeper;
use super::keep::tokens::Tokens;
use super::login::{Login, Renewal, Revocation};
use super::trouble::{Code, Trouble};

/// How long before its end a token is renewed.
const EARLY: Duration = Duration::from_secs(15);

/// The way to a token.
#[derive(Debug)]
pub struct Access {
    login: Login,
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    tokens: Option<Arc<Tokens>>,
    /// Whether the keyring was asked.
    looked: bool,
    /// The last login that came to nothing: whoever waited for it shares its end.
    failed: Option<(Instant, Trouble)>,
}

/// A token for one request, and which one it is.
#[derive(Debug)]
pub struct Pass {
    /// The header.
    pub header: HeaderValue,
    /// The token's serial.
    pub serial: String,
}

/// What is known of a door's login, without a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Who issued the tokens.
    pub issuer: String,
    /// The client they were issued to.
    pub client_id: String,
    /// When the access token ends, in RFC 3339.
    pub expires_at: String,
    /// Whether the access token is good now, by its time alone.
    pub is_current: bool,
    /// Whether it can be renewed without the person.
    pub renews: bool,
}

impl Access {
    /// Nothing is asked yet.
    pub fn new(login: Login, keeper: Keeper, clock: Arc<dyn Clock>) -> Self {
        Self { login, keeper, clock, held: Mutex::default() }
    }

    /// The token for a request; none where nobody is logged in yet. Goes on to its end when whoever asked
    /// for it is cancelled: a renewal that breaks off has used the refresh token up for nothing.
    ///
    /// # Errors
    /// The keyring or the authorization server, or the login that a lost refresh token led to.
    pub async fn pass(self: &Arc<Self>) -> Result<Option<Pass>, Trouble> {
        let this = self.clone();
        whole(tokio::spawn(async move { this.pass_now().await }).await)
    }

    /// The door refused a request with the token of this serial, or without one: gets another one, unless
    /// somebody did so meanwhile. `metadata` is where the door says that its metadata is.
    ///
    /// # Errors
    /// As for [`Access::pass`].
    pub async fn refused(
        self: &Arc<Self>,
        serial: Option<String>,
        metadata: Option<String>,
    ) -> Result<(), Trouble> {
        let this = self.clone();
        whole(tokio::spawn(async move { this.refused_now(serial.as_deref(), metadata).await }).await)
    }

    /// Waits for a renewal or a login that goes on.
    pub async fn settle(&self) {
        drop(self.held.lock().await);
    }

    async fn pass_now(&self) -> Result<Option<Pass>, Trouble> {
        let asked = Instant::now();
        let mut held = self.held.lock().await;
        if !held.looked {
            held.tokens = self.keeper.read(&self.login.door).await?.map(Arc::new);
            held.looked = true;
        }
        if let Some(tokens) = held.tokens.clone()
            && !self.is_fresh(&tokens)
        {
            shared(&held, asked)?;
            self.replace(&mut held, Some(&tokens), None).await?;
        }
        let pass = held
            .tokens
            .as_ref()
            .map(|tokens| Ok::<_, Trouble>(Pass { header: tokens.bearer()?, serial: tokens.serial.clone() }));
        pass.transpose()
    }

    async fn refused_now(&self, serial: Option<&str>, metadata: Option<String>) -> Result<(), Trouble> {
        let asked = Instant::now();
        let mut held = self.held.lock().await;
        if held.tokens.as_ref().map(|tokens| tokens.serial.as_str()) != serial {
            return Ok(());
        }
        shared(&held, asked)?;
        let tokens = held.tokens.clone();
        self.replace(&mut held, tokens.as_deref(), metadata).await
    }

    /// Logs in now, whatever is kept.
    ///
    /// # Errors
    /// As for [`Access::pass`].
    pub async fn log_in(&self) -> Result<Standing, Trouble> {
        // Before the person is sent anywhere: a login that cannot be kept is none.
        self.keeper.read(&self.login.door).await?;
        let tokens = {
            let _turn = self.keeper.turn(&self.login.door, self.patience()).await?;
            let tokens = Box::pin(self.login.log_in(None)).await?;
            self.keeper.write(&self.login.door, &tokens).await?;
            tokens
        };
        Ok(self.standing_of(&tokens))
    }

    /// Gives the login back and forgets it. Forgets it as well where giving back fails, and says so.
    ///
    /// # Errors
    /// The keyring.
    pub async fn log_out(&self) -> Result<Option<Result<Revocation, Trouble>>, Trouble> {
        let _turn = self.keeper.turn(&self.login.door, self.patience()).await?;
        let kept = self.keeper.read(&self.login.door).await;
        // What cannot be read is still an entry to remove.
        let given_back = match kept {
            Ok(Some(tokens)) => Some(self.login.revoke(&tokens).await),
            Ok(None) => None,
            Err(trouble) if trouble.code == Code::KeyringUnreadable => Some(Err(trouble)),
            Err(trouble) => return Err(trouble),
        };
        self.keeper.remove(&self.login.door).await?;
        Ok(given_back)
    }

    /// What is known of the login.
    ///
    /// # Errors
    /// The keyring.
    pub async fn standing(&self) -> Result<Option<Standing>, Trouble> {
        let kept = self.keeper.read(&self.login.door).await?;
        Ok(kept.map(|tokens| self.standing_of(&tokens)))
    }

    fn standing_of(&self, tokens: &Tokens) -> Standing {
        Standing {
            issuer: tokens.issuer.clone(),
            client_id: tokens.client_id.clone(),
            expires_at: tokens.expires_at.to_string(),
            is_current: tokens.expires_at > self.clock.now(),
            renews: tokens.refresh.is_some(),
        }
    }

    fn is_fresh(&self, tokens: &Tokens) -> bool {
        tokens.expires_at > self.clock.now().plus(EARLY)
    }

    /// A login of another process may take as long as ours.
    fn patience(&self) -> Duration {
        self.login.within.saturating_add(Duration::from_secs(30))
    }

    /// By what another process got meanwhile, by renewal, or by a login.
    async fn replace(
        &self,
        held: &mut Held,
        former: Option<&Tokens>,
        metadata: Option<String>,
    ) -> Result<(), Trouble> {
        let got = Box::pin(self.another(former, metadata)).await;
        match got {
            Ok(tokens) => {
                held.tokens = Some(Arc::new(tokens));
                held.failed = None;
                Ok(())
            }
            Err(trouble) => {
                held.failed = Some((Instant::now(), trouble.clone()));
                Err(trouble)
            }
        }
    }

    async fn another(&self, former: Option<&Tokens>, metadata: Option<String>) -> Result<Tokens, Trouble> {
        let _turn = self.keeper.turn(&self.login.door, self.patience()).await?;
        let kept = self.keeper.read(&self.login.door).await?;
        let kept = match kept {
            Some(kept)
                if Some(&kept.serial) != former.map(|former| &former.serial) && self.is_fresh(&kept) =>
            {
                return Ok(kept);
            }
            kept => kept,
        };
        // Whoever renewed last holds the refresh token that is good: that is this process where the keyring would not
        // take what it got.
        let last = match (&kept, former) {
            (Some(kept), Some(former)) if former.expires_at > kept.expires_at => Some(former),
            (kept, _) => kept.as_ref(),
        };
        if let Some(last) = last {
            match self.login.renew(last).await? {
                Renewal::Tokens(tokens) => {
                    // The former refresh token is used up: to drop the new one here would end the login.
                    if let Err(trouble) = self.keeper.write(&self.login.door, &tokens).await {
                        let notes = &self.login.notes;
                        notes.say(format_args!("the renewed login goes on in this process alone: {trouble}"));
                    }
                    return Ok(*tokens);
                }
                Renewal::Refused(why) => {
                    self.login.notes.say(format_args!("the login cannot be renewed: {why}"));
                }
            }
        }
        let tokens = self.login.log_in(metadata).await?;
        self.keeper.write(&self.login.door, &tokens).await?;
        Ok(tokens)
    }
}

/// A task that died has said why on standard error already.
fn whole<T>(ended: Result<Result<T, Trouble>, tokio::task::JoinError>) -> Result<T, Trouble> {
    ended.unwrap_or_else(|_| Err(Trouble::new(Code::Stopped)))
}

/// Whoever began to wait before a login failed has waited for that one.
fn shared(held: &Held, asked: Instant) -> Result<(), Trouble> {
    match &held.failed {
        Some((at, trouble)) if *at >= asked => Err(trouble.clone()),
        _ => Ok(()),
    }
}
