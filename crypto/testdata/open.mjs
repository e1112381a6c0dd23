// The envelope once more, on node:crypto alone. Each line of input is a JSON
// object with master_key_hex, tenant_id and last_rotated, and either a sealed
// string to open or a password to seal. Each line of output is the answer as a
// JSON string; null where the sealed string does not open.
import { createCipheriv, createDecipheriv, hkdfSync, pbkdf2Sync, randomBytes } from "node:crypto";
import { createInterface } from "node:readline";

function keyOf({ master_key_hex, tenant_id, last_rotated }) {
  const salt = Buffer.from(tenant_id + last_rotated, "utf8");
  const prk = pbkdf2Sync(Buffer.from(master_key_hex, "hex"), salt, 100_000, 32, "sha256");
  return Buffer.from(hkdfSync("sha256", prk, salt, `smtp/${tenant_id}/admin/password`, 32));
}

function open(key, sealed) {
  const raw = Buffer.from(sealed, "base64");
  const decipher = createDecipheriv("aes-256-gcm", key, raw.subarray(0, 16), { authTagLength: 16 });
  decipher.setAuthTag(raw.subarray(16, 32));
  try {
    return Buffer.concat([decipher.update(raw.subarray(32)), decipher.final()]).toString("utf8");
  } catch {
    return null;
  }
}

function seal(key, password) {
  const iv = randomBytes(16);
  const cipher = createCipheriv("aes-256-gcm", key, iv, { authTagLength: 16 });
  const text = Buffer.concat([cipher.update(password, "utf8"), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), text]).toString("base64");
}

for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  const key = keyOf(job);
  console.log(JSON.stringify("sealed" in job ? open(key, job.sealed) : seal(key, job.password)));
}
