//! A request as the deployed Worker reads it, once: its address, which half answers it, and what it asks for.

use super::address::Address;
use super::problem::Problem;
use super::route::{Route, is_of_the_edge};

/// The half of a deployment that answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The broker: publishing, following, and every address that is not the edge's.
    Broker,
    /// The edge: entries, fills, metrics and readiness.
    Edge,
}

/// A request, reduced to its address, the half that answers and the route.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The whole address of the request, with its query.
    pub address: Address,
    /// The half that answers, also where the route is a problem.
    pub half: Half,
    /// The route, or the problem to answer with.
    pub route: Result<Route, Problem>,
}

impl Call {
    /// Reads the method and the address of a request.
    #[must_use]
    pub fn read(method: &str, address: Address) -> Self {
        let of_the_edge = is_of_the_edge(address.path(), address.query());
        let half = if of_the_edge { Half::Edge } else { Half::Broker };
        let route = Route::parse(method, address.path(), address.query());
        Self { address, half, route }
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::Code;
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(method: &str, path: &str) -> Call {
        let url = format!("https://guide.example{path}").parse::<url::Url>().unwrap();
        Call::read(method, Address::from(url))
    }

    #[test]
    fn a_call_has_its_half_also_where_it_is_refused() {
        let entry = read("GET", "/v1/catalogs/tv/entries/title:1");
        assert_eq!((entry.half, entry.route.is_ok()), (Half::Edge, true));
        for (path, half) in [("/v1/catalogs/tv/entries/untitled", Half::Edge), ("/nothing", Half::Broker)] {
            let refused = read("GET", path);
            assert_eq!((refused.half, refused.route.is_err()), (half, true), "{path}");
        }
        let purge = read("PURGE", "/v1/catalogs/tv/changes");
        assert_eq!(purge.route.unwrap_err().kind(), Code::MethodNotAllowed);
    }
}
