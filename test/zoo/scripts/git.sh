export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=zoo GIT_AUTHOR_EMAIL=zoo@localhost GIT_COMMITTER_NAME=zoo GIT_COMMITTER_EMAIL=zoo@localhost
export GIT_AUTHOR_DATE="2020-01-01T00:00:00Z" GIT_COMMITTER_DATE="2020-01-01T00:00:00Z"
git init -q -b main a
cd a || exit
for i in 1 2 3 4 5 6; do
  for k in 1 2 3 4 5; do head -n $((i * k * 100)) "$DATA/text" > "f$k"; done
  git add .
  git commit -q -m "commit $i"
done
git checkout -q -b side HEAD~2
sed -i '5s/a/A/' f1
git commit -qam side
git checkout -q main
git merge -q -m merge side
git log --format=%H | md5sum
cd ..
git clone -q "file://$PWD/a" b 2>&1
cd b || exit
git gc -q --prune=now
git fsck --full --strict
git log --format='%h %s' -- f1
git diff --stat HEAD~3 | tail -n 1
git bundle create -q ../all.bundle --all
cd ..
git clone -q all.bundle c
git -C c rev-parse HEAD
git -C c grep -c qa -- f1
rm all.bundle
