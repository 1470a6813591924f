/** What the user has to change. The message is all there is to show. */
export class CreateError extends Error {}
