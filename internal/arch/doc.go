// Package arch holds no code: its tests hold the house together. They read the
// source of every package, once as linux/amd64 and once as js/wasm sees it, and
// check it against the two tables of this folder:
//
//   - layers_test.go: which packages of ours a package may import, and whether
//     it is pure (knows no operating system);
//   - owners_test.go: which packages may import a module or package of others.
//
// A package or module that is in neither table is an error too: whoever adds one
// decides where it belongs. rules_test.go has the rules on source text, and
// testdata/*.txt a made-up violation of each rule, which must be found.
package arch
