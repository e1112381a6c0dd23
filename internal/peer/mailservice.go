package peer

import (
	"errors"
	"net"
	"strconv"
	"strings"
)

// startTLS marks a service that is written with its kind of encryption.
const startTLS = "starttls://"

// MailService is where users of a mail server log in. There is no unencrypted kind.
type MailService struct {
	Host, Port string
	StartTLS   bool // encryption begins after a command; else the connection begins with it
}

// Address is host:port.
func (m MailService) Address() string { return net.JoinHostPort(m.Host, m.Port) }

// ParseMailService reads host:port. The ports 143 and 587 are those of STARTTLS (RFC 8314,
// section 3); a service at another port has it only if the text begins with starttls://.
func ParseMailService(text string) (MailService, error) {
	address, marked := strings.CutPrefix(text, startTLS)
	host, port, err := net.SplitHostPort(address)
	number, notNumber := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || strings.ContainsAny(host, "/@ \t\r\n\x00"):
		return MailService{}, errors.New("not host:port, such as mail.example.com:465")
	case host == "":
		return MailService{}, errors.New("no host before the port: write the name that the server's certificate is for")
	case notNumber != nil || number == 0:
		return MailService{}, errors.New("the port is not a number from 1 to 65535")
	case number == 25:
		return MailService{}, errors.New("port 25 is for other servers: Mailu accepts no login there, and counts each as a wrong one; use 465 or 587")
	}
	return MailService{Host: host, Port: port, StartTLS: marked || number == 143 || number == 587}, nil
}
