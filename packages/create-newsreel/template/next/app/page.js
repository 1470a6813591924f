import Link from 'next/link';

export default function Page() {
  return <Link href="/title/1">The first title</Link>;
}
