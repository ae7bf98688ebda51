//! The description of the HTTP API, made of the dispatch table: a command that is in the table is in here, with the members
//! that its row names. What is written here by hand is what those members are.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::live::{
    reject::Code,
    table::{COMMANDS, Command, When, Who},
};

/// The OpenAPI 3.1 document.
pub fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let mut paths = Map::new();
        for command in COMMANDS.iter().filter(|command| !command.socket) {
            paths.insert(format!("/v1/commands/{}", command.name), json!({ "post": operation(command) }));
        }
        paths.extend(reads());
        let document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": "haat",
                "version": env!("CARGO_PKG_VERSION"),
                "summary": "The commands of a live sale, over HTTP.",
            },
            "security": [{ "bearer": [] }],
            "paths": paths,
            "components": { "securitySchemes": security(), "schemas": schemas(), "responses": responses() },
        });
        document.to_string()
    })
}

fn security() -> Value {
    json!({ "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } })
}

fn operation(command: &Command) -> Value {
    let mut members = members(command.takes);
    if command.when != When::NoStream {
        members.insert(0, ("stream".to_owned(), true, reference("Id")));
    }
    let who = match command.who {
        Who::All | Who::Audience => "Everybody with a token.",
        Who::Member => "Everybody but guests.",
        Who::Supplier => "The stream's supplier, and services.",
        Who::Staff => "The stream's supplier and moderators, and services.",
    };
    let key = command.own_name().map(|name| {
        json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": format!("In place of `{name}`: who asks again under the same one gets the first answer."),
            "schema": { "type": "string", "minLength": 1, "maxLength": 64 },
        })
    });
    let parameters: Vec<Value> = key.into_iter().collect();
    json!({
        "parameters": parameters,
        "operationId": command.name.replace(':', "_"),
        "summary": command.doc,
        "description": who,
        "tags": [command.name.split(':').next().unwrap_or_default()],
        "requestBody": { "required": true, "content": { "application/json": { "schema": object(members) } } },
        "responses": answers(command.adds),
    })
}

fn answers(adds: &str) -> Value {
    let mut answer = members(adds);
    answer.insert(0, ("ok".to_owned(), true, json!({ "const": true })));
    json!({
        "200": { "description": "Done.", "content": { "application/json": { "schema": object(answer) } } },
        "default": { "$ref": "#/components/responses/Error" },
    })
}

/// The members that a row names: their names, whether they must be there, and their schemas.
fn members(names: &str) -> Vec<(String, bool, Value)> {
    let members = names.split_whitespace().map(|member| {
        let (name, shape) = member.split_once(':').unwrap_or((member, member));
        let (bare, shape) = (name.trim_end_matches('?'), shape.trim_end_matches('?'));
        (bare.to_owned(), !name.ends_with('?'), schema(shape))
    });
    members.collect()
}

fn object(members: Vec<(String, bool, Value)>) -> Value {
    let required: Vec<&String> = members.iter().filter(|(_, required, _)| *required).map(|(name, ..)| name).collect();
    let required = json!(required);
    let properties: Map<String, Value> = members.into_iter().map(|(name, _, schema)| (name, schema)).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn list(of: &str) -> Value {
    json!({ "type": "array", "items": reference(of) })
}

fn text(most: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": most })
}

fn whole(least: u64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// What a member of a body or an answer is, by its name; a name with a capital is a schema of its own.
fn schema(name: &str) -> Value {
    match name {
        "product" | "drop" | "wheel" | "poll" | "question" => reference("Id"),
        "text" | "replyTo" | "message" | "claim" | "kind" | "token" => json!({ "type": "string" }),
        "title" | "reason" => text(200),
        "clientId" | "requestId" => text(64),
        "user" => text(128),
        "history" => whole(0, 200),
        "limit" => whole(1, 200),
        "before" | "left" | "spinsLeft" | "accepted" => count(),
        "count" => whole(1, 50),
        "quantity" => whole(1, 1_000_000_000),
        "option" => whole(0, 5),
        "seconds" => whole(1, 366 * 24 * 3600),
        "slowSeconds" => whole(0, 3600),
        "membersOnly" | "paused" | "held" => json!({ "type": "boolean" }),
        "settings" => json!({ "type": "object" }),
        "words" => json!({ "type": "array", "maxItems": 1000, "items": text(64) }),
        "action" => json!({ "enum": ["reject", "mask", "hold"] }),
        "products" => list("Product"),
        "messages" => list("ChatMessage"),
        "tally" => json!({ "type": "array", "items": count() }),
        "state" => reference("StreamState"),
        "stats" => reference("Stats"),
        name => reference(name),
    }
}

fn responses() -> Value {
    json!({
        "Error": {
            "description": "Not done, and why.",
            "headers": {
                "Retry-After": { "description": "Seconds, where trying again helps.", "schema": { "type": "integer" } },
            },
            "content": { "application/json": { "schema": reference("Error") } },
        },
    })
}

fn reads() -> Map<String, Value> {
    let parameter = |name: &str, place: &str, schema: Value| json!({ "name": name, "in": place, "required": place == "path", "schema": schema });
    let stream = || parameter("stream", "path", reference("Id"));
    let read = |id: &str, summary: &str, parameters: Value, adds: Vec<(&str, bool, Value)>| {
        let mut members = vec![("ok".to_owned(), true, json!({ "const": true }))];
        members.extend(adds.into_iter().map(|(name, required, schema)| (name.to_owned(), required, schema)));
        let schema = object(members);
        json!({ "get": {
            "operationId": id,
            "summary": summary,
            "tags": ["streams"],
            "parameters": parameters,
            "responses": {
                "200": { "description": "Done.", "content": { "application/json": { "schema": schema } } },
                "default": { "$ref": "#/components/responses/Error" },
            },
        } })
    };
    let next = || json!({ "type": ["string", "null"] });
    let broadcast = object(vec![
        ("rooms".to_owned(), true, json!({ "type": "array", "minItems": 1, "maxItems": 64, "items": text(256) })),
        ("except".to_owned(), false, json!({ "type": "array", "maxItems": 64, "items": text(256) })),
        ("event".to_owned(), true, text(64)),
        ("data".to_owned(), false, json!({})),
    ]);
    let mut paths = Map::new();
    paths.insert(
        "/v1/streams".to_owned(),
        read(
            "list_streams",
            "Lists the streams by their ids.",
            json!([parameter("after", "query", reference("Id")), parameter("limit", "query", whole(1, 200))]),
            vec![("streams", true, list("StreamSummary")), ("next", true, next())],
        ),
    );
    paths.insert(
        "/v1/streams/{stream}".to_owned(),
        read(
            "read_stream",
            "Reads the state of a stream.",
            json!([stream()]),
            vec![("state", true, reference("StreamState")), ("ledgerKey", true, next())],
        ),
    );
    paths.insert(
        "/v1/streams/{stream}/stats".to_owned(),
        read(
            "read_stats",
            "Tells how the stream goes, for its staff and services.",
            json!([stream()]),
            vec![("stats", true, schema("stats"))],
        ),
    );
    paths.insert(
        "/v1/streams/{stream}/history".to_owned(),
        read(
            "read_history",
            "Reads messages, the newest or those before one.",
            json!([stream(), parameter("before", "query", count()), parameter("limit", "query", whole(1, 200))]),
            vec![("messages", true, list("ChatMessage"))],
        ),
    );
    paths.insert(
        "/v1/streams/{stream}/ledger".to_owned(),
        read(
            "read_ledger",
            "Reads what happened behind a record: claims, spins, messages, what staff did. For staff and services.",
            json!([stream(), parameter("after", "query", text(64)), parameter("limit", "query", whole(1, 1000))]),
            vec![("records", true, list("Record")), ("next", true, next())],
        ),
    );
    paths.insert(
        "/v1/broadcast".to_owned(),
        json!({ "post": {
            "operationId": "broadcast",
            "summary": "Sends an event into rooms, on all gateways. For services.",
            "tags": ["broadcast"],
            "requestBody": { "required": true, "content": { "application/json": { "schema": broadcast } } },
            "responses": answers(""),
        } }),
    );
    paths
}

/// All schemas by name.
fn schemas() -> Value {
    let mut all = Map::new();
    all.insert("Id".to_owned(), json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" }));
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let mut add = |name: &str, required: &str, properties: Value| {
        let required: Vec<&str> = required.split_whitespace().collect();
        all.insert(name.to_owned(), json!({ "type": "object", "required": required, "properties": properties }));
    };
    let (string, boolean) = (json!({ "type": "string" }), json!({ "type": "boolean" }));
    let id = reference("Id");
    let status = |words: &[&str]| json!({ "enum": words });
    add(
        "Error",
        "ok error",
        json!({
            "ok": { "const": false },
            "error": { "type": "object", "required": ["code", "message"], "properties": {
                "code": { "enum": codes }, "message": string, "retryAfterMs": count(),
            } },
        }),
    );
    add(
        "User",
        "id name",
        json!({ "id": string, "name": string, "role": status(&["viewer", "supplier", "moderator", "service"]) }),
    );
    add(
        "Price",
        "amount currency",
        json!({ "amount": count(), "currency": { "type": "string", "pattern": "^[A-Z]{3}$" } }),
    );
    add(
        "Product",
        "id title price",
        json!({ "id": id, "title": text(200), "price": reference("Price"), "image": string, "url": string, "stock": count() }),
    );
    add(
        "ChatMessage",
        "id stream seq at user text",
        json!({
            "id": string, "stream": id, "seq": count(), "at": count(), "user": reference("User"), "text": string,
            "replyTo": { "type": "object", "required": ["id", "name", "text"], "properties": {
                "id": string, "name": string, "text": string,
            } },
        }),
    );
    add(
        "Mode",
        "slowSeconds membersOnly paused",
        json!({ "slowSeconds": count(), "membersOnly": boolean, "paused": boolean }),
    );
    add(
        "StreamState",
        "id title supplier status now epoch seq viewers reactions products pinnedProduct pinnedMessage notice mode drops wheels polls questions",
        json!({
            "id": id, "title": string, "supplier": { "anyOf": [reference("User"), { "type": "null" }] },
            "status": status(&["scheduled", "live", "ended"]), "startedAt": count(), "endedAt": count(), "now": count(),
            "epoch": string, "seq": count(), "viewers": count(),
            "reactions": { "type": "object", "additionalProperties": count() },
            "products": list("Product"),
            "pinnedProduct": { "anyOf": [reference("Product"), { "type": "null" }] },
            "pinnedMessage": { "anyOf": [reference("ChatMessage"), { "type": "null" }] },
            "notice": { "type": ["string", "null"] }, "mode": reference("Mode"), "drops": list("Drop"),
            "wheels": list("Wheel"), "polls": list("Poll"), "questions": list("Question"),
        }),
    );
    add(
        "StreamSummary",
        "id title status supplier viewers",
        json!({
            "id": id, "title": { "type": ["string", "null"] }, "status": { "type": ["string", "null"] },
            "supplier": { "anyOf": [reference("User"), { "type": "null" }] }, "viewers": count(),
        }),
    );
    add(
        "Stats",
        "viewers peakViewers uniqueViewers messages messagesPerSecond reactions claims revenue spins",
        json!({
            "viewers": count(), "peakViewers": count(), "uniqueViewers": count(), "messages": count(),
            "messagesPerSecond": { "type": "number" }, "reactions": count(), "claims": count(),
            "revenue": list("Price"), "spins": count(),
        }),
    );
    let (times, drop) = (
        json!({ "opensAt": count(), "durationMs": count(), "holdMs": count() }),
        json!({ "id": id, "product": id, "price": reference("Price"), "stock": whole(1, 1_000_000_000), "perUser": count() }),
    );
    add("NewDrop", "id product price stock", merged(&[&drop, &times]));
    let shown = json!({
        "at": count(), "left": count(), "opensAt": count(), "endsAt": count(), "holdMs": count(),
        "status": status(&["scheduled", "open", "paused", "closed"]),
    });
    add("Drop", "id product price stock left perUser status", merged(&[&drop, &shown]));
    add(
        "Claim",
        "id drop quantity price at",
        json!({
            "id": string, "drop": id, "product": id, "user": reference("User"), "quantity": count(),
            "price": reference("Price"), "holdMs": count(), "at": count(), "status": string,
        }),
    );
    let prize = json!({ "id": id, "label": text(100), "weight": whole(0, 1_000_000), "stock": count() });
    add("NewPrize", "id label weight", prize);
    add("Prize", "id label", json!({ "id": id, "label": string }));
    let wheel = json!({
        "id": id, "title": text(200), "prizes": { "type": "array", "minItems": 1, "maxItems": 50, "items": reference("NewPrize") },
        "spinsPerUser": whole(1, 100),
    });
    add("NewWheel", "id title prizes", merged(&[&wheel, &json!({ "durationMs": count() })]));
    let shown = json!({
        "at": count(), "seedHash": { "type": "string", "pattern": "^[0-9a-f]{64}$" }, "seed": string, "endsAt": count(),
        "spins": count(), "status": status(&["open", "paused", "closed"]),
    });
    add("Wheel", "id title prizes spinsPerUser seedHash spins status", merged(&[&wheel, &shown]));
    add("Spin", "id prize", json!({ "id": string, "prize": { "anyOf": [reference("Prize"), { "type": "null" }] } }));
    let poll = json!({
        "id": id, "question": text(300),
        "options": { "type": "array", "minItems": 2, "maxItems": 6, "items": text(100) },
    });
    add("NewPoll", "id question options", merged(&[&poll, &json!({ "durationMs": count() })]));
    let shown = json!({
        "at": count(), "tally": schema("tally"), "votes": count(), "endsAt": count(), "status": status(&["open", "closed"]),
    });
    add("Poll", "id question options tally votes status", merged(&[&poll, &shown]));
    add(
        "Question",
        "id text user votes status",
        json!({
            "id": id, "at": count(), "text": string, "user": reference("User"), "votes": count(),
            "status": status(&["open", "answered"]), "answer": string,
        }),
    );
    add(
        "Record",
        "id at kind by data",
        json!({
            "id": string, "at": count(), "kind": string, "by": { "anyOf": [reference("User"), { "type": "null" }] },
            "data": { "type": "object" },
        }),
    );
    Value::Object(all)
}

/// Objects of properties as one.
fn merged(parts: &[&Value]) -> Value {
    let members = parts.iter().filter_map(|part| part.as_object()).flatten();
    Value::Object(members.map(|(name, value)| (name.clone(), value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| match value {
                Value::String(target) if name == "$ref" => found.push(target.clone()),
                value => references(value, found),
            }),
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document: Value = serde_json::from_str(document()).unwrap();
        let mut found = Vec::new();
        references(&document, &mut found);
        for target in &found {
            assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(found.contains(&format!("#/components/schemas/{name}")), "{name} is not used");
        }
    }

    #[test]
    fn every_command_without_a_connection_is_described() {
        let document: Value = serde_json::from_str(document()).unwrap();
        let described: Vec<&str> = document["paths"]
            .as_object()
            .unwrap()
            .keys()
            .filter_map(|path| path.strip_prefix("/v1/commands/"))
            .collect();
        let commands: Vec<&str> =
            COMMANDS.iter().filter(|command| !command.socket).map(|command| command.name).collect();
        assert_eq!(described, commands);
    }
}
