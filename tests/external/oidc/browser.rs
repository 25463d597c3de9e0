//! The browser in which the person signs in and allows, and bare requests as an attacker or a
//! portal makes them. It shares no state with the app.

use cgm_submitter::environment::Transport as _;
use cgm_submitter::transport::HttpTransport;
use serde_json::Value;
use std::sync::Mutex;
use url::Url;
use url::form_urlencoded::Serializer;

/// More redirects than any sign-in takes.
const MAX_STEPS: usize = 12;

/// What the person does once they are signed in.
#[derive(Clone, Copy)]
pub(crate) enum Person {
    Allows,
    AllowsAllBut(&'static str),
    Denies,
}

/// The page the browser stays on instead of going back to the app.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) text: String,
}

struct Cookie {
    path: String,
    name: String,
    value: String,
}

/// A browser with its cookies.
#[derive(Default)]
pub(crate) struct Browser(Mutex<Vec<Cookie>>);

impl Browser {
    /// Opens `url`, signs in as `login` if asked, and does what the person does; the redirect to
    /// the app.
    pub(crate) async fn go(&self, url: &str, login: &str, person: Person) -> Result<String, Page> {
        let mut request = http::Request::get(url).body(Vec::new()).unwrap();
        for _ in 0..MAX_STEPS {
            let here: Url = request.uri().to_string().parse().unwrap();
            let response = self.send(&here, request).await;
            let status = response.status().as_u16();
            let next = if (300..400).contains(&status) {
                here.join(response.headers()["location"].to_str().unwrap()).unwrap()
            } else {
                let text = String::from_utf8(response.into_body()).unwrap();
                match answer(&here, &text, login, person) {
                    Some(answer) => {
                        request = answer;
                        continue;
                    }
                    None => return Err(Page { status, text }),
                }
            };
            if next.scheme() != "http" {
                return Ok(next.into());
            }
            request = http::Request::get(next.as_str()).body(Vec::new()).unwrap();
        }
        panic!("the browser is sent in circles");
    }

    async fn send(
        &self,
        here: &Url,
        mut request: http::Request<Vec<u8>>,
    ) -> http::Response<Vec<u8>> {
        let cookies: Vec<String> = {
            let jar = self.0.lock().unwrap();
            let fitting = jar.iter().filter(|cookie| here.path().starts_with(&cookie.path));
            fitting.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect()
        };
        if !cookies.is_empty() {
            request.headers_mut().insert("cookie", cookies.join("; ").parse().unwrap());
        }
        let response = send(request).await;
        for set in response.headers().get_all("set-cookie") {
            self.keep(set.to_str().unwrap());
        }
        response
    }

    /// Keeps what a `Set-Cookie` says; an empty value removes.
    fn keep(&self, set: &str) {
        let (pair, attributes) = set.split_once(';').unwrap_or((set, ""));
        let (name, value) = pair.split_once('=').unwrap();
        let path =
            attributes.split(';').find_map(|one| one.trim().strip_prefix("path=")).unwrap_or("/");
        let mut jar = self.0.lock().unwrap();
        jar.retain(|cookie| (cookie.name.as_str(), cookie.path.as_str()) != (name, path));
        if !value.is_empty() {
            jar.push(Cookie {
                path: path.to_owned(),
                name: name.to_owned(),
                value: value.to_owned(),
            });
        }
    }
}

/// What the person does with a page; `None` if there is nothing to do.
fn answer(here: &Url, page: &str, login: &str, person: Person) -> Option<http::Request<Vec<u8>>> {
    let action = here.join(between(page, "action=\"", "\"")?).unwrap();
    let mut form = Serializer::new(String::new());
    if page.contains("name=\"login\"") {
        form.append_pair("login", login);
    } else if let Person::Denies = person {
        let link = page.split("href=\"").nth(1)?.split('"').next()?;
        return Some(
            http::Request::get(here.join(link).unwrap().as_str()).body(Vec::new()).unwrap(),
        );
    } else {
        let scopes = page
            .split("name=\"scope\" value=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap());
        let left_out = if let Person::AllowsAllBut(scope) = person { scope } else { "" };
        for scope in scopes.filter(|scope| *scope != left_out) {
            form.append_pair("scope", scope);
        }
    }
    Some(posted(action.as_str(), form.finish()))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

fn posted(url: &str, form: String) -> http::Request<Vec<u8>> {
    let request =
        http::Request::post(url).header("content-type", "application/x-www-form-urlencoded");
    request.body(form.into_bytes()).unwrap()
}

async fn send(request: http::Request<Vec<u8>>) -> http::Response<Vec<u8>> {
    HttpTransport::new().unwrap().send(request).await.unwrap()
}

/// Posts a form as anybody may; the status and the JSON of the answer.
pub(crate) async fn post(url: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let form = Serializer::new(String::new()).extend_pairs(form).finish();
    let response = send(posted(url, form)).await;
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or_default())
}

/// Asks with a token; the status and the JSON of the answer.
pub(crate) async fn get(url: &str, token: &str) -> (u16, Value) {
    let request = http::Request::get(url).header("authorization", format!("Bearer {token}"));
    let response = send(request.body(Vec::new()).unwrap()).await;
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or_default())
}
