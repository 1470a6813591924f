// The tags of sockets that were read before, each as a number: `getTags` and reading what it returns cost more than all else
// that hearing an ack takes.

const numbers = new WeakMap();

export const numberOf = (socket) => numbers.get(socket);

export const setNumber = (socket, number) => void numbers.set(socket, number);
