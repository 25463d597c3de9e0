//! The page on which a person lets an app in. Plain HTML that works without scripts; all text is
//! escaped by the template.

use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

use super::authorize::AuthorizationRequest;
use crate::clinic::{STYLE, display_name};

/// Asks who the person is and what the app may do.
pub(super) fn approval_page(
    id: &str,
    request: &AuthorizationRequest,
    patients: &[Value],
) -> Markup {
    page(
        "Let this app in?",
        &html! {
            p {
                "The app " strong { (request.client) }
                " asks to exchange glucose data with the sandbox clinic. Nobody here is real."
            }
            form method="post" action="/oauth/decision" {
                input type="hidden" name="request" value=(id);
                fieldset {
                    legend { "Who are you?" }
                    @if patients.is_empty() {
                        p {
                            "This server has no Patient: create one first, then begin again \
                             in the app."
                        }
                    }
                    @for (index, patient) in patients.iter().enumerate() {
                        label {
                            input type="radio" name="patient"
                                value=(patient["id"].as_str().unwrap_or_default())
                                checked[index == 0] required;
                            " " (display_name(patient)) ", born "
                            (patient["birthDate"].as_str().unwrap_or("unknown"))
                        }
                    }
                }
                fieldset {
                    legend { "What may the app do?" }
                    @for scope in &request.scopes {
                        label {
                            input type="checkbox" name="scope" value=(scope) checked;
                            " " (meaning(scope)) " " code { (scope) }
                        }
                    }
                }
                button type="submit" name="decision" value="allow" { "Allow" }
                " "
                button.quiet type="submit" name="decision" value="deny" { "Deny" }
            }
        },
    )
}

/// Says why there is nothing to approve.
pub(super) fn error_page(text: &str) -> Markup {
    page("This did not work", &html! { p { (text) } })
}

fn page(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – sandbox EHR" }
                style { (STYLE) }
            }
            body { main { h1 { (title) } (body) } }
        }
    }
}

/// A scope in a person's words.
fn meaning(scope: &str) -> &'static str {
    match scope {
        "launch/patient" => "Know which record is yours",
        "offline_access" => "Stay connected until you disconnect",
        _ if scope.starts_with("patient/Patient") => "See your name and birth date",
        _ if scope.starts_with("patient/ServiceRequest") => "See what the clinic asks for",
        _ if scope.starts_with("patient/Observation") => "Glucose readings and summaries",
        _ if scope.starts_with("patient/DiagnosticReport") => "Reports",
        _ if scope.starts_with("patient/Device") => "Your sensor or meter",
        _ => "",
    }
}
