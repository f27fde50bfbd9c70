//go:build !js

// Package nutsdb keeps queues in directories, one NutsDB database for each, as
// a medium of package journal.
//
// NutsDB v1.1.0 is used as a log engine behind a strict wrapper: a transaction
// holds exactly one entry, whose checksum makes it atomic; files are only ever
// appended to and removed from the front; NutsDB's own recovery, merging and
// syncing are not used. What the wrapper does instead:
//
//   - Inspect reads every data file itself, finds its way past damage, and
//     Start tells NutsDB by hint files what is in them, so that NutsDB never
//     parses a file that may be damaged, and keeps no values in memory.
//   - A run appends to a file of its own, so never behind damage.
//   - Sync syncs the files through descriptors of ours; an error of it is final,
//     because after one a file system may say that all is well when it is not.
//
// A queue is a directory:
//
//	LOCK          held (flock) while the queue is open; names the process
//	STORE         the store record, see storeFile
//	1.dat …       segments: NutsDB's data files, the highest is appended to
//	1.seal …      what lies in a full segment, see seal
//	1.hint …      the same for NutsDB, rebuilt whenever it is not as expected
//	bucket.Meta   NutsDB's list of buckets, always the same bytes
//	nutsdb-flock  NutsDB's lock, without a meaning under ours
//
// A data file is a run of NutsDB entries, followed by zeros up to the size of a
// segment:
//
//	crc32 (IEEE, 4 bytes LE, of all that follows)
//	uvarints: time, key size (8), value size, flag (1 put, 0 delete), ttl (0),
//	          status (1), structure (2), transaction id, bucket id (1)
//	key (8 bytes, big-endian)
//	value (begins with the header that package persistence draws)
package nutsdb
