import { useQuery, useQueryClient } from "@tanstack/react-query";
import { ChevronDown, Ellipsis, UserPlus } from "lucide-react";
import { useState } from "react";
import { useForm } from "react-hook-form";
import { api, body } from "@/api/client";
import { problemOf } from "@/api/problem";
import { membersModel, meQuery, useMay } from "@/api/queries";
import { repeatable } from "@/api/repeatable";
import { absolute, relative } from "@/lib/time";
import { useLive } from "@/live/query";
import { type Member, ROLES, type Role } from "@/models/types";
import { toast } from "@/ui/announce";
import { Button, IconButton } from "@/ui/Button";
import { Confirm } from "@/ui/Confirm";
import { Dialog } from "@/ui/Dialog";
import { Field, INPUT, SHORT_CHARS_MAX } from "@/ui/Field";
import { Menu, MenuItem, MenuSeparator } from "@/ui/Menu";
import { Avatar, Tag } from "@/ui/marks";
import { Refusal } from "@/ui/Refusal";
import { Failure, Loading } from "@/ui/states";
import { useNew } from "@/ui/useNew";
import { ROLE_WORDS } from "./roles";
import { SecretDialog } from "./Secret";
import { Section } from "./Section";

type Given = { name: string; secret: string };

/** The people of the workspace and what each may do. */
export default function MembersSection() {
  const isAdmin = useMay("admin_access");
  const [isAdding, setAdding] = useNew();
  const [given, setGiven] = useState<Given | null>(null);
  return (
    <Section
      of="/settings/members"
      about="Who is in this workspace, and what each of them may do."
      actions={
        <Button kind="primary" onClick={() => setAdding(true)}>
          <UserPlus size={14} aria-hidden />
          Add a member
        </Button>
      }
    >
      {isAdmin && <MemberList />}
      {isAdmin && isAdding && (
        <AddMember
          onClose={() => setAdding(false)}
          onAdded={(added) => {
            setAdding(false);
            setGiven(added);
          }}
        />
      )}
      {given !== null && (
        <SecretDialog
          title={`${given.name} is a member`}
          what="password"
          secret={given.secret}
          onClose={() => setGiven(null)}
        >
          {`Give ${given.name} this password; it can be changed under Settings, Profile.`}
        </SecretDialog>
      )}
    </Section>
  );
}

function MemberList() {
  const { data, error, refetch } = useLive(membersModel);
  const { data: me } = useQuery(meQuery);
  if (error !== null) return <Failure error={error} retry={refetch} />;
  if (data === undefined) return <Loading label="Loading members" />;
  const members = [...data.state.values()]
    .filter(({ removed }) => !removed)
    .sort((a, b) => (a.name ?? "").localeCompare(b.name ?? ""));
  return (
    <ul aria-label="Members" className="rounded-lg border border-line bg-surface">
      {members.map((member) => (
        <MemberRow key={member.id} member={member} isMe={member.id === me?.id} />
      ))}
    </ul>
  );
}

function MemberRow({ member, isMe }: { member: Member; isMe: boolean }) {
  const [asking, setAsking] = useState<"disable" | "remove" | null>(null);
  const name = member.name ?? "Somebody";
  const path = { params: { path: { user_id: member.id } } };
  const giveRole = async (role: Role) => {
    try {
      await api.PUT("/api/members/{user_id}/role", { ...path, body: { role } });
      toast(`${name} is ${ROLE_WORDS[role].name.toLowerCase()} now.`);
    } catch (error) {
      toast(`${name} stays what they were: ${problemOf(error).message}.`, "bad");
    }
  };
  return (
    <li className="flex min-h-14 items-center gap-3 border-b max-sm:flex-wrap border-line px-3 py-2 last:border-0 md:px-4">
      <Avatar who={{ id: member.id, name, kind: "person" }} />
      <div className="min-w-0 flex-1 max-sm:basis-[60%]">
        <p className="flex items-center gap-2">
          <span className="truncate font-medium">{name}</span>
          {isMe && <Tag>You</Tag>}
          {member.disabled && <Tag>Disabled</Tag>}
        </p>
        <p className="truncate text-sm text-ink-3">
          {member.email}
          <span title={absolute(member.joined_at)} className="max-sm:hidden">
            {member.email ? " · " : ""}joined {relative(member.joined_at)}
          </span>
        </p>
      </div>
      <Menu
        align="end"
        trigger={
          <Button
            kind="quiet"
            className="max-sm:order-last max-sm:ml-5 max-sm:-mt-1.5 max-sm:h-7"
            aria-label={`Role of ${name}: ${ROLE_WORDS[member.role].name}`}
          >
            {ROLE_WORDS[member.role].name}
            <ChevronDown size={13} aria-hidden />
          </Button>
        }
      >
        {ROLES.map((role) => (
          <MenuItem
            key={role}
            checked={role === member.role}
            disabled={role === member.role}
            onSelect={() => void giveRole(role)}
            hint={<span className="max-sm:hidden">{ROLE_WORDS[role].about}</span>}
          >
            {ROLE_WORDS[role].name}
          </MenuItem>
        ))}
      </Menu>
      <Menu
        align="end"
        trigger={
          <IconButton label={`More about ${name}`} className={isMe ? "invisible" : ""}>
            <Ellipsis size={15} aria-hidden />
          </IconButton>
        }
      >
        <MenuItem disabled={member.disabled} onSelect={() => setAsking("disable")}>
          Bar from signing in
        </MenuItem>
        <MenuSeparator />
        <MenuItem onSelect={() => setAsking("remove")}>
          <span className="text-bad">Remove from the workspace</span>
        </MenuItem>
      </Menu>
      {asking === "disable" && (
        <Confirm
          title={`Bar ${name} from signing in?`}
          verb="Bar"
          run={() => api.POST("/api/members/{user_id}/disable", path)}
          onClose={() => setAsking(null)}
        >
          Every session ends at once, and the agents that are theirs stop. It can’t be undone.
        </Confirm>
      )}
      {asking === "remove" && (
        <Confirm
          title={`Remove ${name}?`}
          verb="Remove"
          run={() => api.DELETE("/api/members/{user_id}", path)}
          onClose={() => setAsking(null)}
        >
          Their sessions end at once. What they wrote stays, with their name on it.
        </Confirm>
      )}
    </li>
  );
}

type NewMember = { email: string; name: string; role: Role };

function AddMember({ onClose, onAdded }: { onClose: () => void; onAdded: (given: Given) => void }) {
  const client = useQueryClient();
  const [refusal, setRefusal] = useState<string | null>(null);
  const { register, handleSubmit, formState, setError } = useForm<NewMember>({
    defaultValues: { role: "viewer" },
  });
  const { errors, isSubmitting } = formState;
  const [once] = useState(repeatable);
  const submit = handleSubmit(async (member) => {
    setRefusal(null);
    try {
      const done = await once(member, (headers) =>
        body(api.POST("/api/members", { headers, body: member })),
      );
      // The addresses are in no event: the list is asked for again when it has the new one.
      const query = { limit: 1, min_position: done.position };
      await api.GET("/api/members", { params: { query } });
      void client.invalidateQueries({ queryKey: membersModel.key });
      onAdded({ name: member.name, secret: done.secret ?? "" });
    } catch (error) {
      const { code, field, message } = problemOf(error);
      if (code === "secret_shown_once") {
        void client.invalidateQueries({ queryKey: membersModel.key });
        setRefusal(
          "They were added, but their password can't be shown again. Remove them, and add them anew.",
        );
      } else if (field === "email" || field === "name" || field === "role")
        setError(field, { message });
      else setRefusal(message);
    }
  });
  return (
    <Dialog open onClose={onClose} title="Add a member">
      <form onSubmit={submit} noValidate autoComplete="off" className="flex flex-col gap-4">
        <Field label="Name" error={errors.name?.message}>
          <input
            maxLength={SHORT_CHARS_MAX}
            className={INPUT}
            {...register("name", { required: "A name, please." })}
          />
        </Field>
        <Field label="E-mail" error={errors.email?.message}>
          <input
            type="text"
            inputMode="email"
            autoCapitalize="none"
            className={INPUT}
            {...register("email", {
              required: "An address, please.",
              pattern: { value: /^\s*[^\s@]+@[^\s@]+\s*$/, message: "This is no e-mail address." },
            })}
          />
        </Field>
        <fieldset>
          <legend className="mb-1.5 font-medium">Role</legend>
          {ROLES.map((role) => (
            <label key={role} className="flex gap-2.5 rounded-md px-2 py-1.5 hover:bg-hover">
              <input
                type="radio"
                value={role}
                className="mt-1 accent-accent"
                {...register("role")}
              />
              <span>
                {ROLE_WORDS[role].name}
                <span className="block text-sm text-ink-3">{ROLE_WORDS[role].about}</span>
              </span>
            </label>
          ))}
        </fieldset>
        {refusal !== null && <Refusal className="mt-3">{refusal}</Refusal>}
        <Button type="submit" kind="primary" disabled={isSubmitting} className="self-end">
          {isSubmitting ? "Adding" : "Add, and show a password"}
        </Button>
      </form>
    </Dialog>
  );
}
