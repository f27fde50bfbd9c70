// Package httpapi is the HTTP interface of a gateway: JSON under /api, made for
// `mqttdb status` and `mqttdb clear`, scripts and the status page (package web), whose
// files are all else that is served.
//
//	GET  /api/connections                        all statuses
//	GET  /api/connections/{name}                 one
//	POST /api/connections/{name}/clear           forget what is pending, or dead letters
//	         ?queue=QUEUE&topic=FILTER           (see below); {"cleared": n}
//	         &older_than=DURATION
//	GET  /api/connections/{name}/messages        what is stored: [{"seq", "topic", "qos", "retain",
//	         ?queue=QUEUE&after=SEQ              "payload" (base64), "accepted", "cause"}, …], with
//	         &limit=100                          numbers above after; [] at the end
//	                                             of a replay also "original", when it was
//	                                             first accepted
//	GET  /api/connections/{name}/export          the same with all that an import needs, one in
//	         ?queue=QUEUE&topic=FILTER           each line (NDJSON, package archive); what is cut
//	         &since=DURATION&after=SEQ           off ends with an error of the protocol
//	POST /api/connections/{name}/import          put them behind all others: body: such lines;
//	         ?queue=outgoing|incoming            {"imported", "known", "refused", "why"}: known
//	         &again=true                         are those that are here, or were imported before
//	POST …/messages/{seq}/requeue?queue=QUEUE    send a dead letter again; {"seq": its new number}
//	DELETE …/messages/{seq}?queue=QUEUE          forget one; 409 if it is in flight
//	POST /api/connections/{name}/replay          send again what was sent and is kept (keep_sent):
//	         ?since=20m&from=SEQ&topic=FILTER    all, or what matches; {"replayed": n, "left_out": n}
//	         &again=true&retain=true             once it is stored behind what is pending. What was
//	         &dry_run=true&timeout=30s           replayed before is left out without again, retain
//	                                             flags are taken off without retain; dry_run only
//	                                             counts; 504 when the time is over: then it goes on
//	GET  /api/connections/{name}/consumers       who gets what the broker sends and is stored:
//	                                             [{"name", "kind", "filters", "joined", "left",
//	                                             "open", "behind"}, …]
//	DELETE …/consumers/{consumer}                end a named subscription: what belongs to
//	                                             nobody else leaves; {"removed": its name}
//	POST /api/connections/{name}/publish         store a message; 201 {"seq": n} once committed
//	         ?topic=TOPIC&qos=1&retain=true      body: the payload
//	POST /api/connections/{name}/pause, …/resume
//	POST /api/connections/{name}/drain           wait until all is sent; {"pending": n}, what was
//	         ?timeout=30s                        left when the time was over, and, of these,
//	                                             "relayed": what is yet to be relayed to it
//	POST /api/connections/{name}/compact         give back disk space now: of one queue or of all
//	         ?queue=QUEUE&timeout=30s            of them; {"reclaimed_bytes", "rewritten_bytes",
//	                                             "disk_bytes"} when it is done; 504 when the time
//	                                             is over: then it goes on by itself
//	POST /api/publish                            as a local client would; 201 {"seq": {"cloud": n}}
//	         ?topic=TOPIC&qos=1&retain=true      once it is stored, or once every broker has it
//	         &wait=stored|delivered&timeout=30s
//	POST /api/reload                             read the configuration again; {"added": […],
//	                                             "removed": […], "changed": […],
//	                                             "settings": […]}, names and paths
//	GET  /api/reload                             how the last time ended; null: there was none
//	GET  /metrics                                for Prometheus, see package metrics
//	GET  /healthz                                200 while the process serves
//	GET  /readyz                                 200 when messages are taken, 503 and why if not
//	GET  /api/openapi.json                       all this as OpenAPI 3.1
//	GET  /api/stream                             a WebSocket, subprotocol mqttdb, that tells what
//	                                             changes, see below
//	GET  /api/events?after=ID&limit=200          what happened, the latest 500 at most: [{"id",
//	                                             "at" (ms), "connection", "kind", "text", "hint"}, …]
//	GET  /api/history?connection=NAME            the last hour: {"step_ms", "connections": {name:
//	                                             {"first_ms", "pending": […], "accepted": […],
//	                                             "sent": […], "incoming_pending": […]}}}; counters
//	                                             as they stood, null where nobody knows
//	POST /api/demo/VERB                          cut, mend, fill, free or kill: only of
//	                                             mqttdb serve --demo
//
// QUEUE is outgoing, what is to be sent to the broker; dead, what of that was set
// aside; sent, what of that was sent and is kept; incoming, what came from the broker and not all have got for whom it is; or
// incoming_dead, what of that was set aside. Of _local there are outgoing, dead and
// retained, which messages and export know.
//
// Errors are {"error": "...", "hint": "..."} with a status code that fits.
//
// # Stream
//
// Messages are JSON texts: first {"type": "hello", "version", "at" (now, ms), "demo",
// "connections": [status, …], "orphans": [status, …], "order": [name, …]}, then
// {"type": "status", "at", "connections": [those that changed]}, {"type": "gone",
// "names": […]} and {"type": "event", "event": {…}}. Of statuses there are at most four
// messages a second, the latest of each connection: a client that is slow misses what
// lies between, and one that takes nothing for 10 s is left. Nothing waits for it.
//
// # Who may ask
//
// Requests carry the token, if one is set, as Authorization: Bearer TOKEN; a page, which
// cannot set headers of a WebSocket, as its subprotocol mqttdb.token.BASE64URL. /healthz,
// /readyz and the files of the page need none. Host is a name of loopback or an allowed
// one; Origin, if there is one, the server's own. A request that changes something has the header X-Mqttdb: 1,
// Content-Type: application/json, or, from a browser, Sec-Fetch-Site: same-origin or none.
// Each change is logged with the address that it came from, single messages at the
// level of debugging.
package httpapi
