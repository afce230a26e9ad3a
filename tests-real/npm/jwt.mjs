// JSON Web Tokens with Node's own cryptography, for the parts of the proofs that judge or sign them.

import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';

const PARAMETERS = {
  RS256: ['sha256', {}],
  PS256: ['sha256', { padding: 6, saltLength: 32 }],
  ES256: ['sha256', { dsaEncoding: 'ieee-p1363' }],
  EdDSA: [null, {}],
};
const LEEWAY_SECONDS = 5;

const decode = (part) => JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);

/** {header, claims} without any check: only to find out whom to ask for keys. */
export function unverified(token) {
  const [head, payload, signature] = token.split('.');
  if (!signature) throw new Error('not a signed token');
  return { header: decode(head), claims: decode(payload) };
}

/** {header, claims} of a token that one of the JWKs signed and whose time has come and not passed. */
export function verified(token, keys) {
  const { header, claims } = unverified(token);
  const key = keys.find((candidate) => candidate.kid === header.kid && (candidate.alg ?? header.alg) === header.alg);
  if (!key || !PARAMETERS[header.alg]) throw new Error('signed by somebody else');
  const [digest, parameters] = PARAMETERS[header.alg];
  const [head, payload, signature] = token.split('.');
  const publicKey = { key: createPublicKey({ key, format: 'jwk' }), ...parameters };
  if (!verify(digest, Buffer.from(`${head}.${payload}`), publicKey, Buffer.from(signature, 'base64url'))) {
    throw new Error('the signature is wrong');
  }
  if (!(claims.exp > now() - LEEWAY_SECONDS)) throw new Error('expired');
  if (claims.nbf > now() + LEEWAY_SECONDS) throw new Error('not valid yet');
  return { header, claims };
}

/** A compact JWS over the claims by a private JWK. */
export function signed(header, claims, jwk) {
  const [digest, parameters] = PARAMETERS[jwk.alg];
  const text = `${encode({ alg: jwk.alg, ...header })}.${encode(claims)}`;
  const key = { key: createPrivateKey({ key: jwk, format: 'jwk' }), ...parameters };
  return `${text}.${sign(digest, Buffer.from(text), key).toString('base64url')}`;
}

/** Key sets by their address, fetched again where a token names a key that is not among them. */
export class KeySets {
  #sets = new Map();

  /** {header, claims} of a token that a key at the address signed. */
  async verified(token, address) {
    const { header } = unverified(token);
    const known = this.#sets.get(address) ?? [];
    if (!known.some((key) => key.kid === header.kid)) {
      const { keys } = await (await fetch(address)).json();
      this.#sets.set(address, keys);
    }
    return verified(token, this.#sets.get(address));
  }
}

/** Where an issuer publishes its keys, by its own metadata. */
export async function keysOf(issuer) {
  const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
  return metadata.jwks_uri;
}
