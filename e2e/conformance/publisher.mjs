// A publisher over the publishing socket: sends without waiting, and gives each publish its answer, in order.
//
// When the connection breaks, unanswered publishes stay in `unanswered`: the next `connect` sends them again.

import { Mismatch, holds } from './expect.mjs';
import { Socket } from './socket.mjs';

export class Publisher extends Socket {
  /** Every frame of answers. */
  frames = [];
  /** The publishes that were sent and not answered yet, in order: each text with the function that takes its answer. */
  unanswered = [];

  constructor(log, { token = log.tokens.publish } = {}) {
    super(log, token);
  }

  /** Connects, and sends the unanswered publishes again. */
  async connect() {
    await this.dial('/publish');
    for (const { text } of this.unanswered) this.send(text);
    return this;
  }

  /** Publishes a value, or a text as it is; resolves to its answer. Fails when the connection ends before. */
  publish(publish) {
    const { text, answer } = this.offer(publish);
    return this.until(`the answer to ${text.slice(0, 80)}`, () => answer.given).then(() => answer.given);
  }

  /** Sends a publish and waits for nothing: returns its text, and where its answer will be `given`. */
  offer(publish, answered = () => {}) {
    const text = typeof publish === 'string' ? publish : JSON.stringify(publish);
    const answer = { given: undefined };
    this.unanswered.push({ text, answered: (given) => answered((answer.given = given)) });
    this.send(text);
    return { text, answer };
  }

  hear(text) {
    const frame = JSON.parse(text);
    if (frame.type === 'error') return void (this.error = frame);
    holds('a frame to a publisher', frame.type === 'answers' && frame.answers?.length > 0, 'answers', text.slice(0, 300));
    this.frames.push(frame);
    for (const answer of frame.answers) {
      const first = this.unanswered.shift();
      if (!first) throw new Mismatch('an answer', 'one for each text', answer);
      first.answered(answer);
    }
  }
}
