// A publisher over the publishing socket: sends without waiting, and gives each publish its answer, in order.

import { Mismatch, holds } from './expect.mjs';
import { Socket } from './socket.mjs';

export class Publisher extends Socket {
  /** Every frame of answers. */
  frames = [];
  #unanswered = [];

  constructor(log, { token = log.tokens.publish } = {}) {
    super(log, token);
  }

  connect() {
    return this.dial('/publish');
  }

  /** Publishes a value, or a text as it is; resolves to its answer. */
  publish(publish) {
    const text = typeof publish === 'string' ? publish : JSON.stringify(publish);
    let answer;
    this.#unanswered.push((given) => (answer = given));
    this.send(text);
    return this.until(`the answer to ${text.slice(0, 80)}`, () => answer).then(() => answer);
  }

  hear(text) {
    const frame = JSON.parse(text);
    if (frame.type === 'error') return void (this.error = frame);
    holds('a frame to a publisher', frame.type === 'answers' && frame.answers?.length > 0, 'answers', text.slice(0, 300));
    this.frames.push(frame);
    for (const answer of frame.answers) {
      const answered = this.#unanswered.shift();
      if (!answered) throw new Mismatch('an answer', 'one for each text', answer);
      answered(answer);
    }
  }
}
