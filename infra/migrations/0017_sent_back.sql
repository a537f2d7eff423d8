-- Why a reviewer sent a mission back. The read model is rebuilt for it, by its version.
ALTER TABLE read_missions ADD COLUMN sent_back_reason text;
