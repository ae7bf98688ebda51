//! What a stream sells, and the product that is shown at present. It must never let a link through that runs something.

use serde::{Deserialize, Serialize};

use super::{
    body::{Body, is_id},
    command::{Call, Reply},
    edit::{Event, State, edit},
    reject::{Code, Reject, json},
    text::clean,
};

/// Products of a stream.
const MAX_PRODUCTS: usize = 200;
/// Characters of a product's title.
const MAX_TITLE: usize = 200;
/// Bytes of a link.
const MAX_LINK: usize = 2048;
/// JavaScript counts this far.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Something that a stream sells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Product {
    pub id: String,
    title: String,
    price: Price,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stock: Option<u64>,
}

/// An amount of the smallest unit of a currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Price {
    pub amount: u64,
    pub currency: String,
}

impl Price {
    /// # Errors
    /// `bad_request` names what is wrong in `field`.
    pub(super) fn check(&self, field: &str) -> Result<(), Reject> {
        if self.amount > MAX_NUMBER {
            return Err(Reject::field(&format!("{field}.amount"), "a whole number of minor units"));
        }
        let currency = self.currency.as_bytes();
        if currency.len() != 3 || !currency.iter().all(u8::is_ascii_uppercase) {
            return Err(Reject::field(&format!("{field}.currency"), "an ISO 4217 code"));
        }
        Ok(())
    }
}

/// The JSON text of a catalogue, checked and without fields that nobody knows.
///
/// # Errors
/// `bad_request` names what is wrong; `too_large` for more than 200 products.
pub(super) fn catalogue(text: &str) -> Result<String, Reject> {
    let mut products: Vec<Product> = serde_json::from_str(text)
        .map_err(|error| Reject::field("products", &format!("a list of products: {}", plain(&error))))?;
    if products.len() > MAX_PRODUCTS {
        return Err(Reject::new(Code::TooLarge, format!("\"products\" are more than {MAX_PRODUCTS}")));
    }
    for place in 0..products.len() {
        let (before, rest) = products.split_at_mut(place);
        let Some(product) = rest.first_mut() else { break };
        product.check("products")?;
        if before.iter().any(|other| other.id == product.id) {
            return Err(Reject::field("products", "products with different ids"));
        }
    }
    Ok(json(&products))
}

/// The error without the place in the text, which means nothing to whoever wrote an object.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

impl Product {
    /// `list` is what errors call it.
    fn check(&mut self, list: &str) -> Result<(), Reject> {
        if !is_id(&self.id) {
            return Err(Reject::field(&format!("{list}.id"), "an id: 1 to 64 of A-Z a-z 0-9 _ -"));
        }
        self.title = clean(&format!("{list}.title"), &self.title, MAX_TITLE)?;
        self.price.check(&format!("{list}.price"))?;
        for (name, link) in [("image", &self.image), ("url", &self.url)] {
            if link.as_deref().is_some_and(|link| !is_link(link)) {
                return Err(Reject::field(&format!("{list}.{name}"), "an http or https URL, or a path"));
            }
        }
        if self.stock.is_some_and(|stock| stock > MAX_NUMBER) {
            return Err(Reject::field(&format!("{list}.stock"), "a whole number"));
        }
        Ok(())
    }
}

// --- commands ---

/// The catalogue of a stream.
pub(super) fn products(state: &State) -> Vec<Product> {
    state.get("products").and_then(|products| serde_json::from_str(products).ok()).unwrap_or_default()
}

/// Whether this product is the pinned one.
fn is_pinned(state: &State, id: &str) -> bool {
    let pinned = state.get("pinnedProduct").and_then(|pinned| serde_json::from_str::<Product>(pinned).ok());
    pinned.is_some_and(|pinned| pinned.id == id)
}

fn product_id(call: &Call) -> Result<String, Reject> {
    Body::parse(&call.body)?.id("product")
}

/// Tells of a change of the catalogue; and, if it is the pinned product that has changed, of that behind it.
async fn change(
    call: &Call,
    id: &str,
    mut change: impl FnMut(&mut Vec<Product>) -> Result<Option<String>, Reject>,
) -> Result<Reply, Reject> {
    let mut pinned = None;
    edit(&call.live, &call.stream, Some(call.by()), |state| {
        let mut list = products(state);
        let now = change(&mut list)?;
        pinned = is_pinned(state, id).then_some(now.clone());
        match (&pinned, now) {
            (Some(_), Some(product)) => state.set("pinnedProduct", &product),
            (Some(_), None) => state.remove("pinnedProduct"),
            (None, _) => {}
        }
        let list = json(&list);
        state.set("products", &list);
        Ok(Event::new("products", &call.stream, &format!(r#""products":{list}"#)))
    })
    .await?;
    if let Some(product) = pinned {
        let product = product.unwrap_or_else(|| "null".to_owned());
        edit(&call.live, &call.stream, None, |_| {
            Ok(Event::new("product:pinned", &call.stream, &format!(r#""product":{product}"#)))
        })
        .await?;
    }
    Ok(Reply::default())
}

/// `product:put`: adds a product behind the others, or takes the place of the one with its id.
pub(super) async fn put(call: Call) -> Result<Reply, Reject> {
    let body = Body::parse(&call.body)?;
    let text = body.raw("product").ok_or_else(|| Reject::field("product", "a product"))?;
    let mut product: Product = serde_json::from_str(text)
        .map_err(|error| Reject::field("product", &format!("a product: {}", plain(&error))))?;
    product.check("product")?;
    change(&call, &product.id, |list| {
        let count = list.len();
        match list.iter_mut().find(|known| known.id == product.id) {
            Some(known) => *known = product.clone(),
            None if count >= MAX_PRODUCTS => {
                return Err(Reject::new(Code::TooLarge, format!("more than {MAX_PRODUCTS} products")));
            }
            None => list.push(product.clone()),
        }
        Ok(Some(json(&product)))
    })
    .await
}

/// `product:remove`: one that is pinned is unpinned.
pub(super) async fn remove(call: Call) -> Result<Reply, Reject> {
    let id = product_id(&call)?;
    change(&call, &id, |list| {
        let before = list.len();
        list.retain(|product| product.id != id);
        if list.len() == before { Err(Reject::not_found("product")) } else { Ok(None) }
    })
    .await
}

/// `product:pin`: in place of what was pinned before.
pub(super) async fn pin(call: Call) -> Result<Reply, Reject> {
    let id = product_id(&call)?;
    edit(&call.live, &call.stream, Some(call.by()), |state| {
        let list = products(state);
        let product = list.iter().find(|product| product.id == id).ok_or_else(|| Reject::not_found("product"))?;
        let product = json(product);
        state.set("pinnedProduct", &product);
        Ok(Event::new("product:pinned", &call.stream, &format!(r#""product":{product}"#)))
    })
    .await?;
    Ok(Reply::default())
}

/// `product:unpin`: without a pinned product it changes nothing, and says so all the same.
pub(super) async fn unpin(call: Call) -> Result<Reply, Reject> {
    edit(&call.live, &call.stream, Some(call.by()), |state| {
        state.remove("pinnedProduct");
        Ok(Event::new("product:pinned", &call.stream, r#""product":null"#))
    })
    .await?;
    Ok(Reply::default())
}

/// A URL of the web or a path on the page's own host.
fn is_link(link: &str) -> bool {
    let plain = link.len() <= MAX_LINK && !link.chars().any(|symbol| symbol.is_control() || symbol.is_whitespace());
    let rest = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://"));
    // Two slashes, or a slash and a backslash, would be another host.
    let path = link.strip_prefix('/').is_some_and(|rest| !rest.starts_with(['/', '\\']));
    plain && (path || rest.is_some_and(|rest| !rest.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_keeps_its_shape_and_loses_what_is_unknown() {
        let text = r#"[{"x":1,"id":"saree-1","title":" Silk ","price":{"amount":129900,"currency":"INR"},"image":"/a.png","stock":3}]"#;
        let wanted = r#"[{"id":"saree-1","title":"Silk","price":{"amount":129900,"currency":"INR"},"image":"/a.png","stock":3}]"#;
        assert_eq!(catalogue(text).unwrap(), wanted);
    }

    #[test]
    fn what_is_no_product_is_refused_by_name() {
        let product =
            |change: &str| format!(r#"[{{"id":"a","title":"A","price":{{"amount":1,"currency":"INR"}}{change}}}]"#);
        assert!(catalogue(&product("")).is_ok());
        let table = [
            ("{}".to_owned(), "products"),
            (r#"[{"id":"a"}]"#.to_owned(), "title"),
            (product(r#","id":"b""#), "id"),
            (r#"[{"id":"a b","title":"A","price":{"amount":1,"currency":"INR"}}]"#.to_owned(), "products.id"),
            (r#"[{"id":"a","title":" ","price":{"amount":1,"currency":"INR"}}]"#.to_owned(), "products.title"),
            (r#"[{"id":"a","title":"A","price":{"amount":-1,"currency":"INR"}}]"#.to_owned(), "integer"),
            (r#"[{"id":"a","title":"A","price":{"amount":1.5,"currency":"INR"}}]"#.to_owned(), "floating"),
            (r#"[{"id":"a","title":"A","price":{"amount":1,"currency":"inr"}}]"#.to_owned(), "currency"),
            (product(r#","url":"javascript:alert(1)""#), "products.url"),
            (product(r#","image":"//evil.example/a.png""#), "products.image"),
            (product(r#","image":"data:image/png;base64,AA""#), "products.image"),
            (product(r#","stock":"3""#), "string"),
        ];
        for (text, names) in table {
            let reject = catalogue(&text).unwrap_err();
            assert_eq!(reject.code, Code::BadRequest, "{text}");
            assert!(reject.message.contains(names), "{text}: {}", reject.message);
        }
        let same = product("").trim_matches(['[', ']']).to_owned();
        assert!(catalogue(&format!("[{same},{same}]")).is_err());
        let many = vec![same; 201].join(",");
        assert_eq!(catalogue(&format!("[{many}]")).unwrap_err().code, Code::TooLarge);
    }
}
