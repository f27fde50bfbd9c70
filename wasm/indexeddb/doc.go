// Package indexeddb stores queues in a browser. It is made for a Worker: what it does is
// waited for by goroutines, never by the page.
//
// A queue NAME (such as plant/outgoing) of a store with the prefix P has these databases:
//
//	P/NAME      what there is: the object store "log" has under "record" the store
//	            record, and under "segments" two numbers of 8 bytes, big-endian: the
//	            segments from the first up to the second, without it, may exist
//	P/NAME/7    segment 7: an object store "entries", an entry under each key
//	P/reserve   noise, which is deleted when the browser grants no more: of all queues
//
// One put stores a batch: its value is the blob that every store keeps. The key has what
// recovery wants to know, so that it reads keys only:
//
//	LSN    8 bytes, big-endian: entries lie in its order
//	size   4 bytes, big-endian: of the value
//	head   the first persistence.HeaderSize bytes of the value
//
// Deleting rows does not give quota back soon, deleting a database does: a segment is
// dropped as a whole.
//
// One owner: a Web Lock of the name of the first database, where the origin has locks. Whoever
// opens a queue also raises the version of that database, upon which a former owner that is
// still there lets go and fails: without locks the latest tab has the queue.
package indexeddb
