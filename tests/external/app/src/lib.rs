//! An app with a `reqwest` of its own. Features of one dependency are united over a whole build, so
//! what the library asks for could change the app's client.

#[cfg(test)]
mod tests {
    use cgm_submitter::HttpTransport;

    #[test]
    fn the_apps_own_reqwest_makes_clients_beside_the_built_in_transport() {
        assert!(HttpTransport::new().is_ok());
        assert!(reqwest::Client::builder().build().is_ok());
    }
}
