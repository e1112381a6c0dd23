<?php
// Logs in as tenants' Mailu users with the passwords that mailu-rotator keeps in Vault. docs/readers.md explains it.
// Input: a tenant's id a line. Output: which password was accepted, never the password.
// Environment: VAULT_ADDR (https), CREDENTIALS_DIRECTORY (role-id, secret-id), MAIL_SERVER (host:port, TLS at once).
declare(strict_types=1);

const BOUND = 10; // seconds until a login is given up
const PAUSE = 100_000; // microseconds after a refusal until the record is read again

// Null: altered, or sealed for something else.
function open_sealed(string $master, string $tenant, string $lastRotated, string $sealed): ?string {
    $raw = base64_decode($sealed, true);
    if ($raw === false || strlen($raw) < 32 || base64_encode($raw) !== $sealed) {
        throw new RuntimeException('not an envelope');
    }
    $salt = $tenant . $lastRotated; // the exact strings of the record
    $prk = openssl_pbkdf2($master, $salt, 32, 100_000, 'sha256');
    $key = hash_hkdf('sha256', $prk, 32, "smtp/$tenant/admin/password", $salt);
    [$iv, $tag, $text] = [substr($raw, 0, 16), substr($raw, 16, 16), substr($raw, 32)];
    $password = openssl_decrypt($text, 'aes-256-gcm', $key, OPENSSL_RAW_DATA, $iv, $tag);
    return $password === false ? null : $password;
}

class Vault {
    private string $token = ''; // this and the keys are in memory only
    private array $keys = [];

    private function call(string $path, array $request): array {
        $request += ['header' => "X-Vault-Token: $this->token", 'timeout' => 5];
        $request += ['ignore_errors' => true, 'follow_location' => 0]; // no redirects: the token is for Vault alone
        $context = stream_context_create(['http' => $request]);
        $answer = @fopen(getenv('VAULT_ADDR') . "/v1/$path", 'r', false, $context)
            ?: throw new RuntimeException('vault cannot be reached: ' . error_get_last()['message']);
        $status = (int) explode(' ', stream_get_meta_data($answer)['wrapper_data'][0])[1];
        return [$status, json_decode(stream_get_contents($answer), true)];
    }

    public function read(string $path): array {
        [$status, $answer] = $this->call($path, []);
        if ($status === 403) { // no token yet, or it has expired
            $read = fn (string $name) => trim(file_get_contents(getenv('CREDENTIALS_DIRECTORY') . "/$name"));
            $credentials = json_encode(['role_id' => $read('role-id'), 'secret_id' => $read('secret-id')]);
            [$status, $login] = $this->call('auth/approle/login', ['method' => 'POST', 'content' => $credentials]);
            $this->token = $login['auth']['client_token']
                ?? throw new RuntimeException("vault refuses the login: $status");
            [$status, $answer] = $this->call($path, []);
        }
        return $status === 200 ? $answer['data'] : throw new RuntimeException("vault does not return $path: $status");
    }

    public function open(string $tenant, array $part): string {
        foreach ([false, true] as $fresh) { // if no key fits, there may be a new one
            if ($fresh || !$this->keys) {
                $exported = $this->read('transit/export/encryption-key/smtp-master')['keys'];
                $this->keys = array_map(base64_decode(...), $exported);
                krsort($this->keys);
            }
            foreach ($this->keys as $version => $key) {
                if ($version === ($part['key_version'] ?? $version)) { // missing in a record written elsewhere: any
                    $password = open_sealed($key, $tenant, $part['last_rotated'] ?? '', $part['password']);
                    if ($password !== null) {
                        return $password;
                    }
                }
            }
        }
        throw new RuntimeException('no master key opens the password');
    }
}

function accepted(string $username, string $password): bool {
    // The server is not from the record, whose writer could name another.
    $server = @stream_socket_client('tls://' . getenv('MAIL_SERVER'), $code, $why, 5)
        ?: throw new RuntimeException("the mail server cannot be reached: $why");
    stream_set_timeout($server, 5);
    foreach (["EHLO reader\r\n", 'AUTH PLAIN ' . base64_encode("\0$username\0$password") . "\r\n", ''] as $command) {
        do {
            $line = (string) fgets($server);
        } while (substr($line, 3, 1) === '-'); // the answer goes on
        fwrite($server, $command);
    }
    return match (substr($line, 0, 3)) {
        '235' => true,
        '535' => false,
        default => throw new RuntimeException('the mail server answers ' . trim($line)), // nothing about the password
    };
}

// Says which password was accepted. Those of one version of the record are offered once.
function log_in(Vault $vault, array &$cache, string $tenant): string {
    if (!preg_match('/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/iD', $tenant)) {
        throw new RuntimeException("not a tenant's id");
    }
    for ($deadline = microtime(true) + BOUND, $refused = 0; microtime(true) < $deadline; usleep(PAUSE)) {
        ['metadata' => ['version' => $version], 'data' => $record] = $vault->read("vault/data/smtp/$tenant/admin");
        if (($cache[$tenant]['version'] ?? 0) !== $version) {
            $parts = ['current' => $record, 'pending' => $record['pending'] ?? []];
            $parts = array_filter($parts, fn ($part) => isset($part['password']));
            $cache[$tenant] = ['version' => $version, 'parts' => $parts, 'opened' => []];
        }
        foreach ($version === $refused ? [] : $cache[$tenant]['parts'] as $which => $part) {
            $cache[$tenant]['opened'][$which] ??= $vault->open($tenant, $part);
            if (accepted($record['username'], $cache[$tenant]['opened'][$which])) {
                $cache[$tenant]['parts'] = [$which => $part] + $cache[$tenant]['parts']; // from now on the first
                return $which;
            }
        }
        $refused = $version;
    }
    throw new RuntimeException('refused for ' . BOUND . " s: run mailu-rotator verify --tenant $tenant");
}

for ($vault = new Vault(), $cache = []; ($line = fgets(STDIN)) !== false;) {
    $tenant = trim($line);
    try {
        echo "$tenant " . log_in($vault, $cache, $tenant) . "\n";
    } catch (Throwable $error) {
        echo "$tenant failed: {$error->getMessage()}\n";
    }
}
