// Package logins tries real logins on the mail servers that Mailu is made of: Debian's
// Dovecot and Postfix, which ask the Mailu test server about each password, as Mailu's
// front does.
package logins
