//! A browser without script: cookies per host, forms, redirects, and pages that lead on by themselves.

use std::collections::HashMap;

use reqwest::header::{LOCATION, SET_COOKIE};
use url::Url;

/// The browser.
pub struct Browser {
    client: reqwest::Client,
    cookies: HashMap<String, HashMap<String, String>>,
}

/// Where it stands.
#[derive(Debug)]
pub struct Page {
    pub url: Url,
    pub status: u16,
    pub text: String,
}

/// A form: where it goes, and its fields as they are.
#[derive(Debug)]
pub struct Form {
    pub action: Url,
    pub fields: Vec<(String, String)>,
}

impl Browser {
    pub fn new() -> Self {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        Self { client: client.build().unwrap(), cookies: HashMap::new() }
    }

    /// Goes to the address and on, until a page stands still or the browser would leave for `end`.
    pub async fn go(&mut self, url: Url, end: &str) -> Page {
        self.follow(url, None, end).await
    }

    /// Sends the form.
    pub async fn send(&mut self, form: Form, end: &str) -> Page {
        self.follow(form.action, Some(form.fields), end).await
    }

    async fn follow(&mut self, mut url: Url, mut form: Option<Vec<(String, String)>>, end: &str) -> Page {
        for _ in 0..20 {
            if url.as_str().starts_with(end) {
                return Page { url, status: 0, text: String::new() };
            }
            let place = url.origin().ascii_serialization();
            let cookies = self.cookies.entry(place).or_default();
            let line: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let request = match form.take() {
                Some(fields) => self.client.post(url.clone()).form(&fields),
                None => self.client.get(url.clone()),
            };
            let answer = request.header("cookie", line.join("; ")).send().await.unwrap();
            for set in answer.headers().get_all(SET_COOKIE) {
                let pair = set.to_str().unwrap().split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                cookies.insert(name.to_owned(), value.to_owned());
                cookies.retain(|_, value| !value.is_empty());
            }
            let status = answer.status().as_u16();
            if let Some(next) = answer.headers().get(LOCATION) {
                url = url.join(next.to_str().unwrap()).unwrap();
                continue;
            }
            let text = answer.text().await.unwrap();
            match text.split_once("content=\"0;url=") {
                Some((_, rest)) => url = Url::parse(&unescaped(rest.split('"').next().unwrap())).unwrap(),
                None => return Page { url, status, text },
            }
        }
        panic!("the browser goes round in circles at {url}");
    }
}

impl Page {
    /// The page's first form.
    pub fn form(&self) -> Form {
        let (_, rest) = self.text.split_once("<form").unwrap_or_else(|| panic!("no form: {self:?}"));
        let (form, _) = rest.split_once("</form>").unwrap();
        let (tag, inner) = form.split_once('>').unwrap();
        let action = self.url.join(&unescaped(&attribute(tag, "action").unwrap_or_default())).unwrap();
        let inputs = inner.split("<input").skip(1).map(|input| input.split('>').next().unwrap());
        let fields = inputs.filter_map(|input| {
            let name = attribute(input, "name")?;
            Some((name, unescaped(&attribute(input, "value").unwrap_or_default())))
        });
        Form { action, fields: fields.collect() }
    }
}

impl Form {
    /// Fills in one field.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next().map(str::to_owned)
}

fn unescaped(text: &str) -> String {
    text.replace("&#39;", "'")
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}
