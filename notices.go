package mqttdb

import _ "embed"

//go:embed THIRD_PARTY_NOTICES
var thirdPartyNotices string

// ThirdPartyNotices returns the licences of what others wrote that our programs,
// and in part this library, contain: what a program that embeds the library has
// to pass on, and a little more. A program that does not call it does not carry
// the text.
func ThirdPartyNotices() string { return thirdPartyNotices }
