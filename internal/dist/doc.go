// Package dist tests what is released and can be tested quickly: the size of the
// program, the configuration and the scripts of the Debian package. scripts/dist-test.sh
// does the rest.
package dist
