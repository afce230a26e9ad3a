// Verifies the gateway's receipts, with jose (`npm install jose`; Node.js 22.18 or newer runs this file as it is).
//
//     node verify.ts KEYS ISSUER AUDIENCE < messages
//
// KEYS is the URL of the gateway's `/.well-known/jwks/receipt.json`. Each line of the input is a receipt and the
// body it came with, in base64; each line of the output says `accepted` or `rejected`, and why.

import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { createRemoteJWKSet, jwtVerify, type JWTPayload } from 'jose';

const LEEWAY_SECONDS = 5;

/** One for each server: it remembers what came, so that nothing comes twice. */
class Receipts {
  private readonly keys: ReturnType<typeof createRemoteJWKSet>;
  private readonly issuer: string;
  private readonly audience: string;
  private seen = new Map<string, number>();

  constructor(keys: string, issuer: string, audience: string) {
    this.keys = createRemoteJWKSet(new URL(keys));
    this.issuer = issuer;
    this.audience = audience;
  }

  /** What the receipt says; throws where it does not hold for this message. */
  async verify(receipt: string, body: Buffer): Promise<JWTPayload> {
    const { issuer, audience } = this;
    const rules = { typ: 'mcpgw-receipt+jwt', algorithms: ['EdDSA'], issuer, audience, clockTolerance: LEEWAY_SECONDS };
    const { payload } = await jwtVerify(receipt, this.keys, { ...rules, requiredClaims: ['exp', 'nbf', 'jti'] });
    const digest = createHash('sha256').update(body).digest('base64');
    if (payload.content_digest !== `sha-256=:${digest}:`) throw new Error('no receipt of this message');
    this.remember(payload);
    return payload;
  }

  /** Refuses what came before. What has expired is refused anyhow, and is forgotten. */
  private remember({ jti = '', exp = 0 }: JWTPayload): void {
    const now = Date.now() / 1000;
    for (const [known, until] of this.seen) if (until <= now) this.seen.delete(known);
    if (this.seen.has(jti)) throw new Error('this receipt came before');
    this.seen.set(jti, exp + LEEWAY_SECONDS);
  }
}

const [keys = '', issuer = '', audience = ''] = process.argv.slice(2);
const receipts = new Receipts(keys, issuer, audience);
for await (const line of createInterface({ input: process.stdin })) {
  const [receipt = '', body = ''] = line.split(' ');
  try {
    const said = await receipts.verify(receipt, Buffer.from(body, 'base64'));
    console.log(`accepted ${said.jti}`);
  } catch (error) {
    console.log(`rejected ${error instanceof Error ? error.message : error}`);
  }
}
