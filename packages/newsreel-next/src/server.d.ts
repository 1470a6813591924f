/**
 * Ends every entry that carries one of the tags, in every process, and resolves when that is published: no request that
 * begins later is answered from an older entry. Next's `revalidateTag` in a route handler publishes as well, behind the answer.
 *
 * @throws an Error when the broker refuses the publish, or cannot be reached.
 */
export declare function expireTags(...tags: string[]): Promise<void>;
