import { useNavigate, useSearch } from "@tanstack/react-router";
import { Eye, EyeOff } from "lucide-react";
import { type ComponentProps, type KeyboardEvent, useState } from "react";
import { useForm } from "react-hook-form";
import { problemOf } from "@/api/problem";
import { signIn, useSession } from "@/api/session";
import { Button, IconButton } from "@/ui/Button";
import { Field, INPUT } from "@/ui/Field";
import { Refusal } from "@/ui/Refusal";
import { useWait, waitText } from "./wait";

type Credentials = { email: string; password: string; workspace: string };

/** Where a refusal says no time, try again after this. */
const WAIT_S = 30;

/** Signs a person in, and takes them to where they wanted to be. */
export default function SignInPage() {
  const { to } = useSearch({ from: "/sign-in" });
  const navigate = useNavigate();
  const isEnded = useSession((session) => session.isEnded);
  const [refusal, setRefusal] = useState<string | null>(null);
  const [waitS, wait] = useWait();
  const { register, handleSubmit, formState, setError, setFocus } = useForm<Credentials>();
  const { errors, isSubmitting } = formState;
  const submit = handleSubmit(async ({ email, password, workspace }) => {
    if (waitS > 0) return;
    setRefusal(null);
    try {
      await signIn({ email: email.trim(), password, ...(workspace ? { workspace } : {}) });
      await navigate({ href: to ?? "/" });
    } catch (error) {
      const problem = problemOf(error);
      if (problem.code === "workspace_needed") {
        setError("workspace", { message: problem.message }, { shouldFocus: true });
        return;
      }
      if (problem.status === 429) wait(problem.retryAfterS ?? WAIT_S);
      setRefusal(wordsFor(problem.status, problem.message));
      // What is most often wrong, ready to be typed over.
      if (problem.status === 401) setFocus("password", { shouldSelect: true });
    }
  });
  return (
    <main className="flex min-h-full items-center justify-center p-4">
      <title>Sign in · Mission Control</title>
      <form onSubmit={submit} noValidate className="flex w-full max-w-80 flex-col gap-4">
        <div className="mb-2 flex flex-col items-center gap-4">
          <img src="/icon.svg" alt="" width={40} height={40} />
          <h1 className="text-xl font-semibold">Sign in to Mission Control</h1>
        </div>
        {isEnded && (
          <p role="status" className="rounded-md bg-raised px-3 py-2 text-ink-2">
            Your session has ended: its time was up, or somebody ended it. If you can't sign in
            again, ask an admin of your workspace.
          </p>
        )}
        <Field label="E-mail" error={errors.email?.message}>
          <input
            type="text"
            inputMode="email"
            autoComplete="username"
            autoCapitalize="none"
            autoCorrect="off"
            spellCheck={false}
            // biome-ignore lint/a11y/noAutofocus: the page is for this form
            autoFocus
            className={INPUT}
            {...register("email", { required: "Your e-mail address, please." })}
          />
        </Field>
        <PasswordField
          error={errors.password?.message}
          {...register("password", { required: "Your password, please." })}
        />
        <Field
          label="Workspace"
          hint="Only where you are in several."
          error={errors.workspace?.message}
        >
          <input
            type="text"
            autoComplete="organization"
            className={INPUT}
            {...register("workspace")}
          />
        </Field>
        {refusal !== null && <Refusal>{refusal}</Refusal>}
        <Button
          type="submit"
          kind="primary"
          disabled={isSubmitting || waitS > 0}
          className="tabular h-9"
        >
          {isSubmitting ? "Signing in" : waitS > 0 ? `Try again in ${waitText(waitS)}` : "Sign in"}
        </Button>
      </form>
    </main>
  );
}

/** The password, which can be shown, with a word when Caps Lock is on. */
function PasswordField({
  error,
  ...rest
}: ComponentProps<"input"> & { error?: string | undefined }) {
  const [isShown, setShown] = useState(false);
  const [isCaps, setCaps] = useState(false);
  const onKey = (event: KeyboardEvent) => setCaps(event.getModifierState("CapsLock"));
  return (
    <div className="relative">
      <Field label="Password" error={error} {...(isCaps && { hint: "Caps Lock is on." })}>
        <input
          {...rest}
          type={isShown ? "text" : "password"}
          autoComplete="current-password"
          autoCapitalize="none"
          spellCheck={false}
          onKeyDown={onKey}
          onKeyUp={onKey}
          className={`${INPUT} pr-10`}
        />
      </Field>
      <IconButton
        label={isShown ? "Hide what is typed" : "Show what is typed"}
        aria-pressed={isShown}
        className="absolute top-[1.75rem] right-0.5"
        onClick={() => setShown(!isShown)}
      >
        {isShown ? <EyeOff size={15} aria-hidden /> : <Eye size={15} aria-hidden />}
      </IconButton>
    </div>
  );
}

/** Returns what went wrong as people would say it. */
function wordsFor(status: number, message: string): string {
  if (status === 401) return "The e-mail address, the password or the workspace is wrong.";
  if (status === 429) return "Too many attempts. Take a moment, and then try again.";
  return message;
}
