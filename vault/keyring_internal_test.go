package vault

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

func FuzzKeyringNeverQuotesItsInput(f *testing.F) {
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	f.Add(`{"data":{"type":"aes256-gcm96","keys":{"1":"` + key + `","2":"` + key + `"}}}`)
	f.Add(`{"data":{"keys":{"1":"` + key[:20] + `"}}}`)
	f.Add(`{"data":{"keys":{"0":"` + key + `"}}}`)
	f.Add(`{"data":{"keys":{"1":12,"x":null,"01":{}}}}`)
	f.Add(`{"data":{"keys":{"1":"` + key + `\n"}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		ring, err := keyring([]byte(body))

		if (ring == nil) == (err == nil) {
			t.Fatalf("ring %v with error %v", ring, err)
		}
		if err != nil && strings.Contains(err.Error(), key[:20]) {
			t.Errorf("the error quotes the key: %v", err)
		}
		if ring != nil && ring.Newest().Version < 1 {
			t.Errorf("newest version is %d", ring.Newest().Version)
		}
	})
}
