package crypto_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"mailu-rotator/crypto"
)

const hidden = "Tr0ub4dor&3-hidden"

// holder has a secret in every place that a struct allows.
type holder struct {
	Exported   crypto.Secret
	unexported crypto.Secret
	Pointer    *crypto.Secret
	pointer    *crypto.Secret
	Slice      []crypto.Secret
	slice      []crypto.Secret
	Array      [1]crypto.Secret
	Map        map[string]crypto.Secret
	values     map[string]*crypto.Secret
	Any        any
	Nested     struct{ Deeper, deeper crypto.Secret }
	Binding    crypto.Binding
}

func newHolder() *holder {
	s := crypto.SecretFromString(hidden)
	h := &holder{
		Exported: s, unexported: s, Pointer: &s, pointer: &s,
		Slice: []crypto.Secret{s}, slice: []crypto.Secret{s}, Array: [1]crypto.Secret{s},
		Map: map[string]crypto.Secret{"key": s}, values: map[string]*crypto.Secret{"key": &s}, Any: s,
	}
	h.Nested.Deeper, h.Nested.deeper = s, s
	return h
}

// failure is an error with a secret in it, as no code should write it.
type failure struct{ secret crypto.Secret }

func (f failure) Error() string { return fmt.Sprintf("refused %v", f.secret) }

// carriers are the shapes in which a secret reaches a printer.
func carriers() map[string]any {
	s := crypto.SecretFromString(hidden)
	key := bytes.Repeat([]byte(hidden), 2)[:crypto.KeySize]
	ring, _ := crypto.NewKeyring(map[crypto.KeyVersion][]byte{1: key})
	return map[string]any{
		"secret":           s,
		"pointer":          &s,
		"struct":           *newHolder(),
		"pointer to one":   newHolder(),
		"slice":            []crypto.Secret{s},
		"map":              map[string]crypto.Secret{"key": s},
		"map of any":       map[string]any{"key": s, "holder": newHolder()},
		"unexported alone": struct{ s crypto.Secret }{s},
		"error":            failure{s},
		"wrapped error":    fmt.Errorf("outer %v: %w", s, failure{s}),
		"joined errors":    errors.Join(failure{s}, errors.New("other")),
		"keyring":          ring,
		"master key":       ring.Newest(),
	}
}

func TestSecretsAreRedactedUnderEveryVerb(t *testing.T) {
	verbs := []string{
		"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x", "%d", "%o", "%b", "%c", "%U", "%e", "%t", "%p",
		"%T", "%10.3s", "%-40v", "%+q", "%#q", "%!", "%w",
	}
	for name, carrier := range carriers() {
		for _, verb := range verbs {
			mustHide(t, name+" under "+verb, fmt.Sprintf(verb, carrier))
		}
		mustHide(t, name+" printed", fmt.Sprint(carrier)+fmt.Sprintln("a", carrier))
	}
}

func TestASecretPrintsAsRedacted(t *testing.T) {
	secret := crypto.SecretFromString(hidden)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, secret); got != crypto.Redacted {
			t.Errorf("%s gives %s", verb, got)
		}
	}
	if got := fmt.Sprintf("%v", newHolder().Map); got != "map[key:[redacted]]" {
		t.Errorf("a map of secrets prints as %s", got)
	}
}

func TestSecretsAreRedactedByEncoders(t *testing.T) {
	encoders := map[string]func(any) ([]byte, error){
		"JSON":          json.Marshal,
		"indented JSON": func(v any) ([]byte, error) { return json.MarshalIndent(v, "", " ") },
		"YAML":          yaml.Marshal,
		"YAML as JSON":  func(v any) ([]byte, error) { return yaml.MarshalWithOptions(v, yaml.JSON()) },
		"XML":           xml.Marshal,
	}
	for encoder, encode := range encoders {
		for name, carrier := range carriers() {
			out, err := encode(carrier) // some encoders refuse some shapes

			mustHide(t, name+" as "+encoder, string(out)+fmt.Sprint(err))
		}
	}
}

func TestASecretEncodesAsRedacted(t *testing.T) {
	value := map[string]crypto.Secret{"password": crypto.SecretFromString(hidden)}

	asJSON, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}

	if string(asJSON) != `{"password":"[redacted]"}` {
		t.Errorf("JSON: %s", asJSON)
	}
	var back map[string]string
	if err := yaml.Unmarshal(asYAML, &back); err != nil || back["password"] != crypto.Redacted {
		t.Errorf("YAML: %s (%v)", asYAML, err)
	}
}

func TestSecretsAreRedactedByZap(t *testing.T) {
	for name, carrier := range carriers() {
		for _, encoding := range []string{"json", "console"} {
			var out bytes.Buffer
			log := zap.New(zapcore.NewCore(zapEncoder(encoding), zapcore.AddSync(&out), zapcore.DebugLevel), zap.ErrorOutput(zapcore.AddSync(&out)))
			fields := []zap.Field{
				zap.Any("any", carrier), zap.Reflect("reflect", carrier), zap.Any("list", []any{carrier}),
				zap.Any("map", map[string]any{"key": carrier}), zap.Object("object", object{carrier}),
			}
			if err, ok := carrier.(error); ok {
				fields = append(fields, zap.Error(err), zap.NamedError("named", err))
			}
			if stringer, ok := carrier.(fmt.Stringer); ok {
				fields = append(fields, zap.Stringer("stringer", stringer))
			}

			log.With(fields...).Info("with", fields...)
			log.Sugar().Infow("sugar", "key", carrier)
			log.Sugar().Infof("sugar %v %+v", carrier, carrier)

			mustHide(t, name+" in zap's "+encoding, out.String())
		}
	}
}

func TestSecretsAreRedactedBySlog(t *testing.T) {
	for name, carrier := range carriers() {
		var out bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			log := slog.New(handler)

			log.With("with", carrier).WithGroup("group").Info("message", "key", carrier, slog.Any("any", carrier), slog.Group("inner", "key", carrier))
		}

		mustHide(t, name+" in slog", out.String())
	}
}

func TestASecretInAPanicIsRedacted(t *testing.T) {
	defer func() {
		mustHide(t, "recovered panic", fmt.Sprint(recover()))
	}()

	panic(fmt.Errorf("%v: %w", newHolder(), failure{crypto.SecretFromString(hidden)}))
}

// object logs its carrier as zap's own objects would.
type object struct{ carrier any }

func (o object) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	return enc.AddReflected("carrier", o.carrier)
}

func zapEncoder(encoding string) zapcore.Encoder {
	if encoding == "json" {
		return zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	}
	return zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())
}

// mustHide searches for the secret in every form in which printers write bytes.
func mustHide(t *testing.T, where, printed string) {
	t.Helper()
	part := hidden[:12]
	decimal := strings.Trim(fmt.Sprint([]byte(part)), "[]")
	spellings := []string{
		part, hex.EncodeToString([]byte(part)), fmt.Sprintf("% x", part), fmt.Sprintf("%X", part),
		decimal, strings.ReplaceAll(decimal, " ", ","), strings.ReplaceAll(decimal, " ", ", "),
		strings.Trim(fmt.Sprintf("%#v", []byte(part)), "[]byte{}"), strings.Trim(fmt.Sprintf("%o", []byte(part)), "[]"),
		strings.Trim(fmt.Sprintf("%b", []byte(part)), "[]"), strings.Trim(fmt.Sprintf("%c", []byte(part)), "[]"),
		base64.StdEncoding.EncodeToString([]byte(part)),
	}
	for _, spelling := range spellings {
		if strings.Contains(printed, spelling) {
			t.Errorf("%s shows the secret: %s", where, printed)
			return
		}
	}
}
