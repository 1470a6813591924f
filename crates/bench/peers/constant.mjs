// A Worker that answers a constant under the headers of a read at Newsreel's edge: what the headers alone cost.

const VALUE = `{"title":"The Lantern Keepers","text":"${'x'.repeat(1000)}"}`;
const POSITION = '01M8N5H6P7ZRG02RVX50Q5ZV5F:0:7c4a3d85194b9bea';

export default {
  fetch() {
    const headers = new Headers();
    headers.set('content-type', 'application/json');
    headers.set('accept-ranges', 'bytes');
    headers.set('age', '3');
    headers.set('cache-control', 'public, max-age=4');
    headers.set('etag', '"bb373c2997dba3bd"');
    headers.set('vary', 'Newsreel-Min-Version');
    headers.set('cache-status', 'newsreel-memory; hit; ttl=604797');
    headers.set('newsreel-entry-version', POSITION);
    headers.set('newsreel-freshness', 'fresh; age=3.725; lag=0.054');
    headers.set('newsreel-version', POSITION);
    return new Response(VALUE, { headers });
  },
};
