// Checks an access token against an issuer's published keys, with Node's own cryptography.
//   curl … /token | node verify-token.mjs ISSUER
// Prints {header, claims} of the token in the answer on stdin; never the token. Exit 1 if it is wrong.

import { createPublicKey, verify } from 'node:crypto';
import { text } from 'node:stream/consumers';

const PARAMETERS = {
  RS256: ['sha256', {}],
  PS256: ['sha256', { padding: 6, saltLength: 32 }],
  ES256: ['sha256', { dsaEncoding: 'ieee-p1363' }],
  EdDSA: [null, {}],
};

const decode = (part) => JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));

const issuer = process.argv[2];
const answer = JSON.parse(await text(process.stdin));
const [head, payload, signature] = (answer.access_token ?? '').split('.');
if (!signature) throw new Error(`no signed token in the answer: ${answer.error ?? 'not a JWT'}`);
const header = decode(head);
const discovery = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
const { keys } = await (await fetch(discovery.jwks_uri)).json();
const key = keys.find((candidate) => candidate.kid === header.kid);
if (!key) throw new Error('the token names a key that the issuer does not publish');
const [digest, parameters] = PARAMETERS[header.alg];
const publicKey = { key: createPublicKey({ key, format: 'jwk' }), ...parameters };
const signed = Buffer.from(`${head}.${payload}`);
if (!verify(digest, signed, publicKey, Buffer.from(signature, 'base64url'))) throw new Error('the signature is wrong');
process.stdout.write(`${JSON.stringify({ header, claims: decode(payload) })}\n`);
