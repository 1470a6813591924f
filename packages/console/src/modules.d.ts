/** What Vite makes of imports that are no TypeScript. */

declare module '*?url' {
  const address: string;
  export default address;
}
declare module '*.css';
