-- Who brought a mission into review, and by which event. Null of what stood there before, until a rebuild.
ALTER TABLE read_reviews ADD COLUMN asked_by uuid, ADD COLUMN asked_type text COLLATE "C";
