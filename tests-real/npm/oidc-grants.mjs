// Grants that npm oidc-provider leaves to its users: token exchange (RFC 8693), also for identity
// assertions (ID-JAG), and JWT bearer (RFC 7523, section 2.1).
//
// Whose tokens count stands in a file that is read at each request, so that it can change while the
// provider runs: {ISSUER: {"jwks_uri": URL or absent, "audiences": [..] or absent}}.

import { readFileSync } from 'node:fs';
import { errors } from 'oidc-provider';
import { KeySets, keysOf, signed, unverified, verified } from './jwt.mjs';

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const ID_JAG = 'urn:ietf:params:oauth:token-type:id-jag';
const ID_JAG_TYPE = 'oauth-id-jag+jwt';
const SUBJECT_TYPES = new Set([
  ACCESS_TOKEN,
  'urn:ietf:params:oauth:token-type:jwt',
  'urn:ietf:params:oauth:token-type:id_token',
]);
const ASSERTION_SECONDS = 120;

const list = (value) => (Array.isArray(value) ? value : value === undefined ? [] : [value]);
const now = () => Math.floor(Date.now() / 1000);

/** Parties whose signatures count. */
class Trust {
  #sets = new KeySets();

  constructor(path) {
    this.path = path;
  }

  async claims(token) {
    let issuer;
    try {
      ({ claims: { iss: issuer } } = unverified(token));
      const entry = JSON.parse(readFileSync(this.path, 'utf8'))[issuer];
      if (!entry) throw new Error(`the issuer ${issuer} is a stranger`);
      const { header, claims } = await this.#sets.verified(token, entry.jwks_uri ?? (await keysOf(issuer)));
      if (entry.audiences && !list(claims.aud).some((audience) => entry.audiences.includes(audience))) {
        throw new Error('it is for somebody else');
      }
      return { header, claims };
    } catch (error) {
      throw new errors.InvalidGrant(`not accepted: ${error.message}`);
    }
  }
}

/** The handlers for one provider. `claims` is where further claims of a token are put (a WeakMap). */
export class Grants {
  #seen = new Set();

  constructor({ trustFile, clients, keys, claims, resourceInfo, allowed }) {
    this.trust = new Trust(trustFile);
    Object.assign(this, { clients, keys, claims, resourceInfo, allowed });
  }

  register(provider) {
    this.provider = provider;
    const common = ['scope', 'resource', 'audience'];
    provider.registerGrantType(
      TOKEN_EXCHANGE,
      (ctx) => this.#exchange(ctx),
      [...common, 'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'requested_token_type'],
      ['resource', 'audience'],
    );
    provider.registerGrantType(JWT_BEARER, (ctx) => this.#assertion(ctx), [...common, 'assertion'], ['resource']);
  }

  async #exchange(ctx) {
    const { params, client } = ctx.oidc;
    if (!SUBJECT_TYPES.has(params.subject_token_type)) throw new errors.InvalidRequest('unknown subject_token_type');
    const { claims: subject } = await this.trust.claims(params.subject_token);
    if (params.requested_token_type === ID_JAG) {
      ctx.body = this.#identityAssertion(ctx, subject);
      return;
    }
    const actor = params.actor_token ? (await this.trust.claims(params.actor_token)).claims : null;
    const acting = actor ? { iss: actor.iss, sub: actor.sub } : { sub: client.clientId };
    const act = subject.act ? { ...acting, act: subject.act } : acting;
    ctx.body = { ...(await this.#issue(ctx, subject.sub, { act })), issued_token_type: ACCESS_TOKEN };
  }

  async #assertion(ctx) {
    const { params, client } = ctx.oidc;
    if (!params.assertion) throw new errors.InvalidRequest('an assertion is needed');
    const { header, claims } = await this.#asserted(params.assertion, client.clientId);
    const own = [this.provider.issuer, `${this.provider.issuer}/token`];
    if (!list(claims.aud).some((audience) => own.includes(audience))) {
      throw new errors.InvalidGrant('the assertion is for somebody else');
    }
    if (header.typ === ID_JAG_TYPE && claims.client_id !== client.clientId) {
      throw new errors.InvalidGrant('the assertion was made for another client');
    }
    const mark = `${claims.iss} ${claims.jti}`;
    if (!claims.jti || this.#seen.has(mark)) throw new errors.InvalidGrant('the assertion was used before');
    this.#seen.add(mark);
    ctx.body = await this.#issue(ctx, claims.sub, { asserted_by: claims.iss, ...(claims.act ? { act: claims.act } : {}) });
  }

  /** By the client itself where it is the issuer, else by a trusted party. */
  async #asserted(assertion, clientId) {
    try {
      if (unverified(assertion).claims.iss === clientId) {
        const client = this.clients.find((candidate) => candidate.client_id === clientId);
        return verified(assertion, client?.jwks?.keys ?? []);
      }
    } catch (error) {
      throw new errors.InvalidGrant(`not accepted: ${error.message}`);
    }
    return this.trust.claims(assertion);
  }

  /** An access token of this provider for somebody whom it heard of elsewhere, never wider than asked. */
  async #issue(ctx, accountId, further) {
    const { params, client } = ctx.oidc;
    const [resource, ...others] = [...list(params.resource), ...list(params.audience)];
    if (!resource || others.length > 0) throw new errors.InvalidTarget('one resource is needed');
    const info = this.resourceInfo(ctx, resource, client);
    const wanted = (params.scope ?? '').split(' ').filter(Boolean);
    const offered = this.allowed(client.clientId) ?? info.scope.split(' ');
    const refused = wanted.filter((scope) => !offered.includes(scope));
    if (refused.length > 0) throw new errors.InvalidScope('not for this client', refused.join(' '));
    const token = new this.provider.AccessToken({ client, accountId, gty: 'exchange', scope: wanted.join(' ') || undefined });
    token.resourceServer = new this.provider.ResourceServer(resource, info);
    this.claims.set(token, further);
    ctx.oidc.entity('AccessToken', token);
    const value = await token.save();
    return { access_token: value, token_type: 'Bearer', expires_in: token.expiration, scope: token.scope };
  }

  /** An ID-JAG for another authorization server (`audience`), for the client that asked. */
  #identityAssertion(ctx, subject) {
    const { params, client } = ctx.oidc;
    if (!params.audience) throw new errors.InvalidTarget('an audience is needed');
    const claims = {
      iss: this.provider.issuer,
      sub: subject.sub,
      aud: params.audience,
      client_id: client.clientId,
      jti: crypto.randomUUID(),
      iat: now(),
      exp: now() + ASSERTION_SECONDS,
      ...(params.scope ? { scope: params.scope } : {}),
      ...(params.resource ? { resource: params.resource } : {}),
    };
    const [key] = this.keys;
    const assertion = signed({ typ: ID_JAG_TYPE, kid: key.kid }, claims, key);
    return { access_token: assertion, issued_token_type: ID_JAG, token_type: 'N_A', expires_in: ASSERTION_SECONDS };
  }
}
