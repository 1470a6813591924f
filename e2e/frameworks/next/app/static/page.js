import { valueOf } from '../value.js';

/** A page that Next renders once and keeps. */
export default async function Page() {
  return <main>value={await valueOf('static')};</main>;
}
