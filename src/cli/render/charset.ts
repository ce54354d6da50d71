/**
 * Whether a terminal may get nothing but ASCII: its locale has no UTF-8, by the variables that POSIX gives for it, or
 * it is a dumb one.
 */
export function asciiOnly(env: Readonly<Record<string, string | undefined>>): boolean {
  if (env["TERM"] === "dumb") return true;
  const locale = [env["LC_ALL"], env["LC_CTYPE"], env["LANG"]].find((value) => value !== undefined && value !== "");
  return !/utf-?8/i.test(locale ?? "");
}
