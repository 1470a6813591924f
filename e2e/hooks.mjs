// Webhooks as their providers send them: signed here with Node's own cryptography, and not with Newsreel's.

import { createHmac, sign } from 'node:crypto';

/** Secrets of the hooks below, under the names that their declarations give. */
export const HOOK_SECRETS = {
  STD: `whsec_${Buffer.from('a key of thirty-two bytes or so..').toString('base64')}`,
  STD_OLD: `whsec_${Buffer.from('the key before it, also long....').toString('base64')}`,
  GH: "It's a Secret to Everybody",
  TWITCH: 's3cRe7s3cRe7',
  DATO: 'dato:open sesame',
  SLACK: '8f742231b10e8888abcd99yyyzzz85a5',
  HMAC: 'partner',
};

const hmac = (key, ...parts) => {
  const made = createHmac('sha256', key);
  for (const part of parts) made.update(part);
  return made.digest();
};
const bytesOf = (secret) => Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
const seconds = (at) => String(Math.floor(at / 1_000));

/** The headers of each provider, for a body, an id and a time in milliseconds. */
export const SIGNERS = {
  standard: (body, { id = 'msg_1', at = Date.now(), secret = HOOK_SECRETS.STD } = {}) => ({
    'webhook-id': id,
    'webhook-timestamp': seconds(at),
    'webhook-signature': `v1,${hmac(bytesOf(secret), `${id}.${seconds(at)}.`, body).toString('base64')}`,
  }),
  github: (body, { id = 'delivery-1', secret = HOOK_SECRETS.GH } = {}) => ({
    'X-Hub-Signature-256': `sha256=${hmac(secret, body).toString('hex')}`,
    'X-GitHub-Delivery': id,
    'X-GitHub-Event': 'push',
  }),
  twitch: (body, { id = 'e76c6bd4', at = Date.now(), type = 'notification', secret = HOOK_SECRETS.TWITCH } = {}) => {
    const time = new Date(at).toISOString();
    return {
      'Twitch-Eventsub-Message-Id': id,
      'Twitch-Eventsub-Message-Timestamp': time,
      'Twitch-Eventsub-Message-Type': type,
      'Twitch-Eventsub-Message-Signature': `sha256=${hmac(secret, id, time, body).toString('hex')}`,
    };
  },
  slack: (body, { at = Date.now(), secret = HOOK_SECRETS.SLACK } = {}) => ({
    'X-Slack-Request-Timestamp': seconds(at),
    'X-Slack-Signature': `v0=${hmac(secret, `v0:${seconds(at)}:`, body).toString('hex')}`,
  }),
  dato: (_body, { secret = HOOK_SECRETS.DATO } = {}) => ({
    Authorization: `Basic ${Buffer.from(secret).toString('base64')}`,
  }),
  hmac: (body, { id, at = Date.now(), secret = HOOK_SECRETS.HMAC } = {}) => ({
    'X-Time': seconds(at),
    ...(id && { 'X-Id': id }),
    'X-Sig': `v0=${hmac(secret, `${seconds(at)}.`, body).toString('hex')}`,
  }),
};

/** A header of Standard Webhooks by Ed25519, with a private key. */
export function ed25519(body, key, { id = 'msg_1', at = Date.now() } = {}) {
  const signature = sign(null, Buffer.from(`${id}.${seconds(at)}.${body}`), key);
  return {
    'webhook-id': id,
    'webhook-timestamp': seconds(at),
    'webhook-signature': `v1a,${signature.toString('base64')}`,
  };
}

/** Sends a body to a hook; returns status, headers and what was answered. */
export async function post(broker, path, body, headers = {}) {
  const answer = await fetch(`${broker.url}/v1/catalogs/${path}`, {
    method: 'POST',
    body,
    headers: { 'Content-Type': 'application/json', ...headers },
  });
  const text = await answer.text();
  const isJson = /json/.test(answer.headers.get('Content-Type') ?? '');
  return { status: answer.status, headers: answer.headers, text, body: isJson ? JSON.parse(text) : undefined };
}
