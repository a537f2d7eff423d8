import { useInfiniteQuery, useQueries } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { ListFilter, Search, X } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { isComposing } from "@/lib/keys";
import { cn } from "@/lib/text";
import { Page } from "@/shell/Shell";
import { useShortcuts } from "@/shell/shortcuts";
import { Button, IconButton } from "@/ui/Button";
import { Key } from "@/ui/marks";
import { Empty, Failure, Skeleton } from "@/ui/states";
import { type Filter, inForce, type SearchAddress, toggled } from "./address";
import { FacetList } from "./FacetList";
import { useFacetNames } from "./names";
import { type Facets, facetsQuery, isSearchable, resultsQuery } from "./query";
import { Results } from "./Results";

const TYPING_MS = 200;

/** Search: what is looked for on top, what narrows it down on the left, what was found beside it. */
export default function SearchPage() {
  const address = useSearch({ from: "/app/search" });
  const navigate = useNavigate();
  const [areFiltersOpen, setFiltersOpen] = useState(false);
  const results = useInfiniteQuery(resultsQuery(address));
  const facets = useFacets(address, results.data?.pages[0]?.facets);
  const list = useRef<HTMLDivElement>(null);
  const filters = inForce(address);
  const go = (search: SearchAddress) => void navigate({ to: "/search", search, replace: true });
  const toggle = (filter: Filter, value: string) => go(toggled(address, filter, value));
  const clear = () => go(address.q === undefined ? {} : { q: address.q });
  const hits = results.data?.pages.flatMap(({ items }) => items) ?? [];
  const hasWords = isSearchable(address.q);
  return (
    <Page title="Search">
      <div className="flex h-full flex-col">
        <div className="flex shrink-0 items-center gap-2 border-b border-line px-3 py-2 md:px-4">
          <SearchField
            q={address.q ?? ""}
            onChange={(q) => {
              const { q: _, ...rest } = address;
              go(q === "" ? rest : { ...rest, q });
            }}
            onDown={() => list.current?.querySelector<HTMLElement>("a")?.focus()}
          />
          {hasWords && (
            <Button
              className="md:hidden"
              aria-expanded={areFiltersOpen}
              onClick={() => setFiltersOpen(!areFiltersOpen)}
            >
              <ListFilter size={14} aria-hidden />
              Filters{filters.length > 0 && ` (${filters.length})`}
            </Button>
          )}
        </div>
        <div className="flex min-h-0 flex-1 max-md:flex-col">
          {hasWords && (facets !== undefined || results.isPending) && (
            <aside
              aria-label="Filters"
              className={cn(
                "shrink-0 overflow-y-auto border-line p-3 max-md:max-h-[45vh] max-md:border-b md:w-56 md:border-r md:p-4",
                !areFiltersOpen && "max-md:hidden",
              )}
            >
              {facets && <FacetList address={address} facets={facets} onToggle={toggle} />}
            </aside>
          )}
          <section aria-label="Results" className="flex min-h-0 min-w-0 flex-1 flex-col">
            {hasWords && filters.length > 0 && (
              <Chosen address={address} filters={filters} onToggle={toggle} onClear={clear} />
            )}
            {!hasWords && <Blank />}
            {hasWords && results.error !== null && (
              <Failure error={results.error} retry={results.refetch} />
            )}
            {hasWords && results.isPending && <ResultsSkeleton />}
            {hasWords && results.isSuccess && hits.length === 0 && (
              <Empty
                icon={Search}
                title="Nothing was found"
                action={filters.length > 0 && <Button onClick={clear}>Drop the filters</Button>}
              >
                {filters.length > 0
                  ? "Nothing here has all of these words and passes the filters."
                  : "Every word has to be in one text: a mission, a comment, or what an agent said. Fewer words find more."}
              </Empty>
            )}
            {hasWords && hits.length > 0 && (
              <Results
                ref={list}
                hits={hits}
                isStale={results.isPlaceholderData}
                hasMore={results.hasNextPage}
                isLoadingMore={results.isFetchingNextPage}
                onMore={() => void results.fetchNextPage()}
              />
            )}
          </section>
        </div>
      </div>
    </Page>
  );
}

/** The field that asks while one types, a moment behind. */
function SearchField({
  q,
  onChange,
  onDown,
}: {
  q: string;
  onChange: (q: string) => void;
  onDown: () => void;
}) {
  const field = useRef<HTMLInputElement>(null);
  const [text, setText] = useState(q);
  const latest = useRef(onChange);
  latest.current = onChange;
  // The address changed otherwise: by the palette, or by going back.
  useEffect(() => setText(q), [q]);
  useEffect(() => {
    const wanted = text.trim();
    if (wanted === q.trim()) return;
    const timer = setTimeout(() => latest.current(wanted), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text, q]);
  useShortcuts([
    { keys: "/", label: "Type what to find", group: "Search", run: () => field.current?.select() },
  ]);
  return (
    <search className="relative flex min-w-0 flex-1 items-center">
      <Search size={15} aria-hidden className="pointer-events-none absolute left-3 text-ink-3" />
      <input
        ref={field}
        // biome-ignore lint/a11y/noAutofocus: the page is for this field
        autoFocus
        type="text"
        enterKeyHint="search"
        aria-label="Search missions, comments and activity"
        placeholder="Missions, comments and activity"
        autoComplete="off"
        spellCheck={false}
        maxLength={500}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (isComposing(event)) return;
          if (event.key === "ArrowDown") {
            event.preventDefault();
            onDown();
          } else if (event.key === "Enter") latest.current(text.trim());
          else if (event.key === "Escape") event.currentTarget.blur();
        }}
        className="h-9 w-full rounded-md border border-line-strong bg-raised pr-9 pl-9 text-base placeholder:text-ink-3"
      />
      {text !== "" && (
        <IconButton
          label="Clear"
          className="absolute right-0.5"
          onClick={() => {
            setText("");
            latest.current("");
            field.current?.focus();
          }}
        >
          <X size={14} aria-hidden />
        </IconButton>
      )}
    </search>
  );
}

/** The filters in force, each with a way out. */
function Chosen({
  address,
  filters,
  onToggle,
  onClear,
}: {
  address: SearchAddress;
  filters: Filter[];
  onToggle: (filter: Filter, value: string) => void;
  onClear: () => void;
}) {
  const nameOf = useFacetNames();
  return (
    <div className="flex flex-wrap items-center gap-1.5 border-b border-line px-3 py-2 md:px-4">
      {filters.flatMap((filter) =>
        [address[filter] ?? []].flat().map((value) => (
          <button
            key={`${filter} ${value}`}
            type="button"
            aria-label={`Without ${nameOf(filter, value)}`}
            onClick={() => onToggle(filter, value)}
            className="transition-quick inline-flex h-6 items-center gap-1 rounded-full bg-accent-soft pr-1.5 pl-2.5 text-sm text-ink hover:bg-pressed"
          >
            {nameOf(filter, value)}
            <X size={12} aria-hidden />
          </button>
        )),
      )}
      <Button kind="quiet" className="h-6 px-2 text-sm" onClick={onClear}>
        Drop all
      </Button>
    </div>
  );
}

function Blank() {
  return (
    <Empty icon={Search} title="Find anything that was written here">
      Titles, descriptions, labels, comments, results, and what agents said while they worked. A
      slip in a word is forgiven. <Key>Ctrl</Key> <Key>K</Key> searches from every page.
    </Empty>
  );
}

function ResultsSkeleton() {
  return (
    <div role="status" aria-label="Searching" className="flex flex-col gap-px p-3 md:p-4">
      {[1, 2, 3, 4, 5].map((row) => (
        <div key={row} className="flex flex-col gap-2 py-3">
          <Skeleton className="h-4 w-72 max-w-full" />
          <Skeleton className="h-3 w-96 max-w-full" />
        </div>
      ))}
    </div>
  );
}

/**
 * Returns the counts of every facet. Those of a facet of which something is chosen are of the search without
 * that choice, as else one could not choose a second value.
 */
function useFacets(address: SearchAddress, own: Facets | undefined): Facets | undefined {
  const chosen = inForce(address).filter((filter) => filter !== "agent");
  const others = useQueries({
    queries: chosen.map((filter) => {
      const { [filter]: _, ...rest } = address;
      return facetsQuery(rest);
    }),
  });
  if (own === undefined) return undefined;
  const facets = { ...own };
  chosen.forEach((filter, index) => {
    facets[filter] = others[index]?.data?.[filter] ?? own[filter];
  });
  return facets;
}
