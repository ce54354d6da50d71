/** The numbers of a page for Prometheus, by name and labels. */
export function numbersOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
  );
}

/** The numbers that a tracker has for Prometheus now. */
export async function metricsOf(address: string): Promise<Record<string, number>> {
  const answer = await fetch(`${address}/metrics`);
  return Object.fromEntries(numbersOf(await answer.text()));
}
