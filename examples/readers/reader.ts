// Logs in as tenants' Mailu users with the passwords that mailu-rotator keeps in Vault. docs/readers.md explains it.
// Input: a tenant's id a line. Output: which password was accepted, never the password.
// Environment: VAULT_ADDR (https), CREDENTIALS_DIRECTORY (role-id, secret-id), MAIL_SERVER (host:port, TLS at once).
import { createDecipheriv, hkdfSync, pbkdf2 } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { createInterface } from "node:readline";
import { connect } from "node:tls";
import { promisify } from "node:util";

const bound = 10; // seconds until a login is given up
const pause = 100; // ms after a refusal until the record is read again

type Part = { password?: string; last_rotated?: string | null; key_version?: number | null };
type Answer = { metadata: { version: number }; data: Part & { username: string; pending?: Part | null } };
type Offer = { which: string; part: Part; password?: Buffer };

const stretch = promisify(pbkdf2); // beside the event loop, which 100,000 iterations would hold up
let token = "", keys = new Map<number, Buffer>(); // in memory only
const cache = new Map<string, { version: number; offers: Offer[] }>();

async function openSealed(master: Buffer, tenant: string, lastRotated: string, sealed: string): Promise<Buffer> {
  const raw = Buffer.from(sealed, "base64");
  if (raw.length < 32 || raw.toString("base64") !== sealed) throw new Error("not an envelope");
  const salt = Buffer.from(tenant + lastRotated, "utf8"); // the exact strings of the record
  const prk = await stretch(master, salt, 100_000, 32, "sha256");
  const key = Buffer.from(hkdfSync("sha256", prk, salt, `smtp/${tenant}/admin/password`, 32));
  const decipher = createDecipheriv("aes-256-gcm", key, raw.subarray(0, 16), { authTagLength: 16 });
  decipher.setAuthTag(raw.subarray(16, 32));
  return Buffer.concat([decipher.update(raw.subarray(32)), decipher.final()]); // final checks the tag
}

async function call(path: string, body?: object): Promise<{ status: number; answer: any }> {
  const request = { method: body ? "POST" : "GET", body: JSON.stringify(body), headers: { "X-Vault-Token": token } };
  const limits = { redirect: "error" as const, signal: AbortSignal.timeout(5000) }; // the token is for Vault alone
  const response = await fetch(`${process.env.VAULT_ADDR}/v1/${path}`, { ...request, ...limits });
  return { status: response.status, answer: await response.json() };
}

async function read(path: string): Promise<any> {
  let { status, answer } = await call(path);
  if (status === 403) { // no token yet, or it has expired
    const file = (name: string) => readFileSync(`${process.env.CREDENTIALS_DIRECTORY}/${name}`, "utf8").trim();
    const login = await call("auth/approle/login", { role_id: file("role-id"), secret_id: file("secret-id") });
    if (login.status !== 200) throw new Error(`vault refuses the login: ${login.status}`);
    token = login.answer.auth.client_token;
    ({ status, answer } = await call(path));
  }
  if (status !== 200) throw new Error(`vault does not return ${path}: ${status}`);
  return answer.data;
}

async function unseal(tenant: string, part: Part): Promise<Buffer> {
  for (const fresh of [false, true]) { // if no key fits, there may be a new one
    if (fresh || keys.size === 0) {
      const exported = Object.entries<string>((await read("transit/export/encryption-key/smtp-master")).keys);
      keys = new Map(exported.map(([version, key]) => [Number(version), Buffer.from(key, "base64")]));
    }
    for (const [version, key] of [...keys].sort(([a], [b]) => b - a)) {
      if (version !== (part.key_version ?? version)) continue; // missing in a record written elsewhere: then any
      const password = await openSealed(key, tenant, part.last_rotated ?? "", part.password!).catch(() => undefined);
      if (password) return password;
    }
  }
  throw new Error("no master key opens the password");
}

function accepted(username: string, password: Buffer): Promise<boolean> {
  const [host, port] = process.env.MAIL_SERVER!.split(":"); // not from the record, whose writer could name another
  const response = Buffer.concat([Buffer.from(`\0${username}\0`), password]).toString("base64");
  const commands = ["EHLO reader", `AUTH PLAIN ${response}`];
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port), servername: isIP(host) ? "" : host });
    socket.setTimeout(5000, () => socket.destroy(new Error("the mail server does not answer")));
    socket.on("error", reject).on("close", () => reject(new Error("the mail server hung up")));
    createInterface({ input: socket }).on("error", reject).on("line", (line: string) => {
      if (line[3] === "-") return; // the answer goes on
      if (/^2[25]0/.test(line) && commands.length > 0) return socket.write(`${commands.shift()}\r\n`);
      if (/^[25]35/.test(line)) resolve(line[0] === "2");
      else reject(new Error(`the mail server answers ${line}`)); // a fault, or a limit: says nothing about the password
      socket.destroy();
    });
  });
}

// Says which password was accepted. Those of one version of the record are offered once.
async function logIn(tenant: string): Promise<string> {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(tenant)) throw new Error("not a tenant's id");
  for (let deadline = Date.now() + 1000 * bound, refused = 0; Date.now() < deadline; ) {
    const { metadata: { version }, data: record }: Answer = await read(`vault/data/smtp/${tenant}/admin`);
    if (cache.get(tenant)?.version !== version) {
      const offers = [{ which: "current", part: record }, { which: "pending", part: record.pending ?? {} }];
      cache.set(tenant, { version, offers: offers.filter(({ part }) => part.password !== undefined) });
    }
    const offers = version === refused ? [] : cache.get(tenant)!.offers;
    for (const [place, offer] of offers.entries()) {
      offer.password ??= await unseal(tenant, offer.part);
      if (!(await accepted(record.username, offer.password))) continue;
      [offers[0], offers[place]] = [offer, offers[0]]; // what was accepted comes first
      return offer.which;
    }
    refused = version;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  throw new Error(`refused for ${bound} s: run mailu-rotator verify --tenant ${tenant}`);
}

async function main() {
  for await (const tenant of createInterface({ input: process.stdin })) {
    console.log(tenant, await logIn(tenant).catch((error) => `failed: ${error.message}`));
  }
}

main();
